// SPDX-License-Identifier: GPL-3.0-or-later
import { start } from "../shared/layout.js";

await start();
