/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Debian's libcivetweb loads "libssl.so" and looks up SSL_get_peer_certificate in it, which OpenSSL 3
 * only has as a macro. The look-up fails, and Orthanc dies with a segmentation fault on the first
 * HTTPS request (civetweb issue 1334). This library is found under that name, has that function, and
 * leads to OpenSSL's for all others.
 */
extern void *SSL_get1_peer_certificate(const void *ssl);

void *SSL_get_peer_certificate(const void *ssl)
{
    return SSL_get1_peer_certificate(ssl);
}
