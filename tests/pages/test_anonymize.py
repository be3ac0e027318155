# SPDX-License-Identifier: GPL-3.0-or-later
"""The page Anonymize: found, started, followed and compared, by each account."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

import deployed
import people
from browsing import Visitor
from people import Person

PAGE = "scrub/study_anonymize.html"
Visit = Callable[..., Visitor]
Picture = Callable[[Page, str], None]
Studies = dict[Person, str]
WAYS = {
    "vera": ["Start", "Anonymize"],
    "rosa": ["Start", "Anonymize"],
    "hana": ["Start", "Anonymize", "Fetch", "Lookup table", "Review", "Work"],
    "adam": ["Start", "Anonymize", "Fetch", "Lookup table", "Review", "Work"],
}


@pytest.mark.parametrize("name", WAYS)
def test_a_person_is_led_to_what_the_account_may_do(
    name: str, visit: Visit, picture: Picture
) -> None:
    page = visit(name).open("index.html")
    expect(page.locator("nav[aria-label=Pages] a")).to_have_text(WAYS[name])
    expect(page.locator("header.site .who bdi")).to_have_text(name)
    expect(page.locator(".tile strong").first).to_have_text("Anonymize")
    if name == "hana":
        picture(page, "start")


def test_the_directory_leads_to_the_start_page(visit: Visit) -> None:
    visitor = visit("vera")
    visitor.open("")
    assert visitor.page.url.endswith("/extra/index.html")


@pytest.mark.parametrize("person", people.EVERYBODY, ids=lambda person: person.patient_id)
def test_what_a_study_says_is_shown_as_it_is(
    person: Person, visit: Visit, studies: Studies
) -> None:
    visitor = visit("rosa")
    page = visitor.open(PAGE)
    page.get_by_label("Patient").first.fill(person.patient_id)
    row = visitor.row(person.description).first
    expect(row).to_contain_text(person.accession)
    expect(row).to_contain_text(person.patient_id)
    expect(row).to_contain_text("delivered")
    row.locator("th button").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(person.description)
    expect(dialog.locator("img[src=x], script, b, i")).to_have_count(0)
    assert studies


def test_studies_are_found_by_each_field(visit: Visit, studies: Studies) -> None:
    visitor = visit("vera")
    page = visitor.open(PAGE)
    rows = page.locator("#rows tr[data-study]")
    for label, value in (
        ("Patient", "quincy PUBLIC"),
        ("Accession", people.PLAIN.accession),
        ("Description", "thorax"),
    ):
        page.get_by_label(label).first.fill(value)
        expect(rows.filter(has_text="Public, John Quincy").first).to_be_visible()
        expect(rows.filter(has_text="Lindqvist")).to_have_count(0)
        page.get_by_role("button", name="Clear").click()
    page.get_by_label("Modality").fill("US")
    expect(rows.filter(has_text="Public, John")).to_have_count(0)
    expect(rows.filter(has_text="Lindqvist, Astrid").first).to_be_visible()
    page.get_by_label("Accession").fill("NOWHERE")
    expect(page.locator("#rows")).to_contain_text("No study on PHI matches")
    assert studies


def test_a_viewer_sees_studies_and_starts_nothing(visit: Visit, studies: Studies) -> None:
    visitor = visit("vera")
    page = visitor.open(PAGE)
    expect(visitor.row("Lindqvist").first).to_contain_text("delivered")
    expect(page.locator("#start")).to_be_hidden()
    expect(page.locator("#rows input[type=checkbox]")).to_have_count(0)
    found = visitor.api("search")["studies"]
    assert {one["subject_number"] for study in found for one in study["projects"]} == {None}
    assert studies


@pytest.mark.parametrize("name", ["rosa", "hana", "adam"])
def test_a_study_is_chosen_started_and_followed_to_its_end(
    name: str, visit: Visit, studies: Studies
) -> None:
    visitor = visit(name)
    page = visitor.open(PAGE)
    page.get_by_label("Patient").first.fill(people.PLAIN.patient_id)
    visitor.row("Public, John").first.get_by_role("checkbox").check()
    page.get_by_role("button", name="Anonymize…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".becomes code")).to_contain_text("^ID0")
    dialog.get_by_label("Do it again").check()
    dialog.get_by_label("Note").fill("a test")
    dialog.get_by_role("button", name="Start 1 study").click()
    expect(page.locator("#message")).to_contain_text("1 study was started")
    visitor.row("Public, John").first.locator("th button").click()
    expect(dialog.locator(".steps li").last).to_have_class("past now", timeout=90_000)
    expect(dialog.locator("tbody").first).to_contain_text("3 instances")
    assert studies


def test_base_name_and_destinations_are_chosen(visit: Visit, studies: Studies) -> None:
    visitor = visit("rosa")
    page = visitor.open(PAGE)
    visitor.row("Lindqvist").first.get_by_role("checkbox").check()
    page.get_by_role("button", name="Anonymize…").click()
    dialog = page.get_by_role("dialog")
    becomes = dialog.locator(".becomes code")
    expect(becomes).to_have_text(re.compile(r"^(?!REV).*\^ID0\d+"))
    start = dialog.get_by_role("button", name="Start 1 study")
    for name in ("anon", "disk"):
        dialog.get_by_role("checkbox", name=name).uncheck()
    expect(start).to_be_disabled()
    dialog.get_by_label("Base name").select_option("reviewed")
    expect(becomes).to_have_text(re.compile(r"^REV\^ID(\?+|0\d+)"))
    expect(dialog.get_by_label("Show me the result first")).to_be_checked()
    expect(dialog.get_by_label("Show me the result first")).to_be_disabled()
    expect(dialog.get_by_role("checkbox", name="anon")).to_have_count(0)
    dialog.get_by_label("Base name").select_option("default")
    dialog.get_by_role("checkbox", name="disk").uncheck()
    dialog.get_by_label("Do it again").check()
    start.click()
    expect(page.locator("#message")).to_contain_text("1 study was started")
    visitor.row("Lindqvist").first.locator("th button").click()
    expect(dialog.locator("tbody tr", has_text="disk")).to_contain_text("left out", timeout=90_000)
    expect(dialog.locator("tbody tr", has_text="anon").first).to_contain_text("delivered")
    assert studies


def test_how_far_a_study_is_can_be_seen_by_its_instances(visit: Visit, studies: Studies) -> None:
    many = Person("Many^Slices", "MRN-MANY", "MANY", "Many slices", instances=400)
    instances = people.study_of(many)
    assert set(deployed.send(instances)) == {0}
    visitor = visit("hana")
    page = visitor.open(PAGE)
    row = visitor.row("Many slices").first
    expect(row).to_contain_text(re.compile(r"(anonymizing|delivering) \d+\s%"), timeout=90_000)
    row.locator("th button").click()
    expect(page.locator(".bars")).to_contain_text("of 400")
    page.reload()
    expect(visitor.row("Many slices").first).to_contain_text("delivered", timeout=180_000)
    deployed.delivered(str(instances[0].StudyInstanceUID), many.instances)
    assert studies


def test_what_became_of_a_study_is_shown_beside_what_it_was(
    visit: Visit, studies: Studies, picture: Picture
) -> None:
    visitor = visit("rosa")
    page = visitor.open(PAGE)
    visitor.row("Lindqvist").first.locator("th button").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("figcaption")).to_have_text(
        ["Before, on PHI", "After, with pixels blanked"]
    )
    for image in dialog.locator(".images img").all():
        expect(image).to_have_js_property("complete", True)
        assert image.evaluate("image => image.naturalWidth") == 640
    dialog.locator(".images").evaluate("images => images.scrollIntoView({ block: 'center' })")
    picture(page, "comparison")
    name = dialog.locator(".attributes tr", has_text="0010,0010").first
    expect(name.locator(".before")).to_have_text("Lindqvist^Astrid")
    expect(name.locator(".after")).to_contain_text("^ID0")
    birth = dialog.locator(".attributes tr", has_text="0008,0090")
    expect(birth.locator(".before")).to_have_text("Lindqvist^Astrid")
    expect(birth.locator(".after")).not_to_contain_text("Lindqvist")
    shown = dialog.locator(".attributes tbody tr")
    differing = shown.count()
    dialog.get_by_label("Only what differs").uncheck()
    assert shown.count() > differing
    assert studies


def test_two_people_see_the_same_at_once(visit: Visit, studies: Studies) -> None:
    rosa, hana = visit("rosa"), visit("hana")
    for visitor in (rosa, hana):
        visitor.open(PAGE).get_by_label("Patient").first.fill(people.QUOTES.patient_id)
        expect(visitor.row("O'Brien").first).to_contain_text("delivered")
    for visitor in (rosa, hana):
        visitor.row("O'Brien").first.get_by_role("checkbox").check()
        visitor.page.get_by_role("button", name="Anonymize…").click()
        visitor.page.get_by_label("Do it again").check()
    for visitor in (rosa, hana):
        visitor.page.get_by_role("button", name="Start 1 study").click()
    for visitor in (rosa, hana):
        expect(visitor.page.locator("#message")).to_contain_text("1 study was")
        expect(visitor.row("O'Brien").first).to_contain_text("delivered", timeout=90_000)
    assert studies


def test_a_lost_connection_is_told_and_waited_out(visit: Visit, studies: Studies) -> None:
    visitor = visit("rosa")
    page = visitor.open(PAGE)
    expect(visitor.row("Lindqvist").first).to_be_visible()
    visitor.context.set_offline(True)
    message = page.locator("#message")
    expect(message).to_contain_text("The server cannot be reached")
    expect(message).to_contain_text("Work that was started goes on there")
    expect(visitor.row("Lindqvist").first).to_be_visible()
    visitor.context.set_offline(False)
    expect(message).to_contain_text("The connection is back")
    assert studies


def test_all_is_reached_by_the_keyboard(visit: Visit, studies: Studies) -> None:
    visitor = visit("rosa")
    page = visitor.open(PAGE)
    expect(visitor.row("Lindqvist").first).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    button = visitor.row("Lindqvist").first.locator("th button")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(visitor.row("Lindqvist").first.locator("th button")).to_be_focused()
    assert studies
