"""Pages: whole in themselves, the same bytes for the same values, and nothing of the user's is taken for markup."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from audit_page import PICTURES, PIXELS, SURE, Reader, audit, html, measured, probes
from matplotlib.figure import Figure
from PIL import Image

from fakeface.audit.page import maps
from fakeface.audit.probes import Probe
from fakeface.audit.verdict import TITLES, audit_metrics, reach_verdict
from fakeface.pages.render import figure_uri, images_uri


def test_names_from_the_data_are_text_and_nothing_else():
    text = html(probes())
    reader = Reader(text)
    assert "script" not in reader.seen
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "data/&lt;b&gt;raw" in text


def test_the_page_is_whole_in_itself_and_says_what_its_pictures_are():
    text = html(probes())
    reader = Reader(text)
    assert reader.open == []
    assert reader.sources
    assert all(source.startswith("data:image/") for source in reader.sources)
    assert all(reader.alts)
    assert not re.search(r"https?://|@import|url\(", text)
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text


def test_the_same_values_give_the_same_bytes():
    assert html(probes()) == html(probes())


@pytest.mark.parametrize(
    ("found", "words"), [({}, "Pass."), ({"metadata": SURE}, "Fail."), ({"thumbnail": SURE}, "with warnings")]
)
def test_the_page_begins_with_the_verdict_and_shows_the_copies(found, words):
    text = html(probes(**found))
    body = text[text.index("<body>") :]
    assert words in body[: body.index("<h2>")]
    assert "next to 1_fake/1.jpg" in body


@pytest.mark.parametrize("name", ["metadata", "file_size"])
def test_a_shortcut_in_the_files_fails_or_warns_as_asked(name):
    verdict = audit(probes(**{name: SURE}))
    assert verdict.status == "fail"
    text = verdict.findings[0].text
    assert f"audit.max_{name} = 0.65" in text
    assert "0.980 (95 % interval 0.950 to 1.000)" in text
    assert "`fakeface normalise FOLDER NEW_FOLDER`" in verdict.findings[0].remedy
    assert "`fakeface normalise FOLDER NEW_FOLDER`" in html(probes(**{name: SURE}))
    assert audit(probes(**{name: SURE}), on_shortcut="warn").status == "warn"


def test_metadata_names_the_fact_that_differs():
    assert "format (JPEG: 100 % of the reals, 0 % of the fakes)" in audit(probes(metadata=SURE)).findings[0].text


@pytest.mark.parametrize("name", ["mean_colour", "thumbnail", "spectrum"])
def test_a_telling_picture_only_warns(name):
    verdict = audit(probes(**{name: SURE}))
    assert verdict.status == "warn"
    assert "audit.max_picture = 0.75" in verdict.findings[0].text


def test_an_interval_that_reaches_below_the_limit_passes():
    assert audit(probes(metadata=Probe(0.7, 0.65, 0.75))).status == "pass"
    assert audit(probes(metadata=Probe(0.7, 0.651, 0.75))).status == "fail"


@pytest.mark.parametrize("key", ["photos_in_several_splits", "exact_duplicates_across_classes"])
def test_leaks_and_contradictions_warn(key):
    assert audit(probes(), **{key: 3}).status == "warn"


def test_the_worst_comes_first():
    verdict = audit(probes(mean_colour=SURE, file_size=SURE), photos_in_several_splits=2)
    assert [finding.status for finding in verdict.findings] == ["fail", "warn", "warn"]


def test_what_was_not_measured_is_said_and_is_no_number():
    found = dict.fromkeys(TITLES, Probe(None, None, None))
    verdict = audit(found)
    assert verdict.status == "warn"
    assert "too few photos" in verdict.findings[0].text
    assert "too few photos to measure" in html(found)
    assert audit_metrics(verdict, measured(found))["balanced_accuracy"]["metadata"] is None


def test_probes_of_a_part_are_told_on_the_page_and_in_the_metrics():
    some = replace(PICTURES, rows=np.array([0, 1, 7]), radial=PICTURES.radial[[0, 1, 7]])
    found = measured(probes(), some)
    assert "3 of\n12 in all" in html(probes(), some)
    assert audit_metrics(audit(probes()), found)["probed_images"] == 3
    assert "in all" not in html(probes())
    assert "probed_images" not in audit_metrics(audit(probes()), measured(probes()))


def test_pictures_are_images_in_the_text():
    figure = Figure()
    figure.subplots().plot([0, 1])
    for uri in (figure_uri(figure), images_uri([PIXELS[0], PIXELS[1]], 24)):
        with Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/jpeg;base64,")))) as image:
            assert image.format == "JPEG"
    assert image.size == (48, 24)


def test_maps_show_both_classes_and_their_difference():
    figure = maps(np.random.default_rng(0).normal(size=(2, 8, 8)), "levels", centred=True)
    assert [axis.get_title() for axis in figure.axes[:3]] == ["real", "fake", "fake minus real"]


def test_one_generator_that_its_files_give_away_is_named_among_others():
    apart = {"<b>": probes(file_size=SURE, spectrum=SURE), "other": probes()}
    found = measured(probes(), apart=apart)
    verdict = reach_verdict(found, "fail")
    assert verdict.status == "warn"
    told = [finding.text for finding in verdict.findings]
    assert len(told) == 1
    assert told[0].startswith("a classifier on the file size alone tells the fakes in <b> from the reals")
    assert audit_metrics(verdict, found)["apart"]["<b>"]["file_size"] == [0.98, 0.95, 1.0]
    of_all = reach_verdict(measured(probes(file_size=SURE), apart=apart), "fail")
    assert [finding.status for finding in of_all.findings] == ["fail"]  # it is said once
    assert "apart" not in audit_metrics(verdict, measured(probes()))
