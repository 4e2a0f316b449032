import bz2
import gzip
import lzma
import os
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hepjax.errors import InputError
from hepjax.physics.simulation import event_files, event_text
from hepjax.physics.simulation.event_files import read_event_chunks
from hepjax.physics.simulation.event_survey import survey_event_file
from hepjax.physics.simulation.event_text import Format
from tests.physics.simulation.event_makers import CASES, END, les_houches, outcome, small, write_hepmc

pytest.importorskip("pyhepmc", reason="the extra `test` is not installed")


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Makes small files of each format, and returns their bytes."""
    folder = tmp_path_factory.mktemp("texts")
    head, events, end = les_houches(["1", "2", "3"])
    contents = {Format.LES_HOUCHES: (head + "".join(events) + end).encode()}
    for written_as in (Format.HEPMC2, Format.HEPMC3):
        path = write_hepmc(folder / written_as.value, written_as.value.lower(), [small()] * 3)
        contents[written_as] = path.read_bytes()
    return contents


FORMATS = pytest.mark.parametrize("written_as", Format)


@FORMATS
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_chunks_hold_each_event_once_whatever_their_size(texts, tmp_path, written_as, size):
    path = tmp_path / "events"
    path.write_bytes(texts[written_as])
    read = list(read_event_chunks(path, size))
    assert [len(chunk.events) for chunk in read] == {1: [1, 1, 1], 2: [2, 1]}.get(size, [3])
    assert [chunk.first for chunk in read] == {1: [1, 2, 3], 2: [1, 3]}.get(size, [1])
    header = read[0].header
    assert all(chunk.header == header and chunk.format is written_as for chunk in read)
    text = texts[written_as]
    end = text.index(event_text.END[written_as])
    assert header + b"".join(event for chunk in read for event in chunk.events) == text[:end]


PACKERS = (gzip.compress, bz2.compress, lzma.compress)


@FORMATS
@pytest.mark.parametrize("pack", PACKERS)
def test_compression_is_known_by_content(texts, tmp_path, written_as, pack):
    plain, packed = tmp_path / "events.gz", tmp_path / "events.lhe"
    plain.write_bytes(texts[written_as])
    # Two members, as `cat a.gz b.gz` makes them.
    half = len(texts[written_as]) // 2
    packed.write_bytes(pack(texts[written_as][:half]) + pack(texts[written_as][half:]))
    assert [c._replace(path="") for c in read_event_chunks(plain)] == [
        c._replace(path="") for c in read_event_chunks(packed)
    ]


def test_large_events_make_small_chunks(texts, tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(texts[Format.HEPMC3])
    monkeypatch.setattr(event_files, "MAX_CHUNK", 1000)
    assert [len(chunk.events) for chunk in read_event_chunks(path)] == [1, 1, 1]


def test_memory_does_not_grow_with_the_file(tmp_path):
    header, events, _ = les_houches(["1"] * 60)
    path = tmp_path / "many.lhe.gz"
    with gzip.open(path, "wt", compresslevel=1) as file:
        file.write(header)
        for _ in range(200):
            file.write("".join(events))
        file.write(END)
    tracemalloc.start()
    try:
        assert sum(len(chunk.events) for chunk in read_event_chunks(path)) == 12_000
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@FORMATS
def test_a_file_that_was_cut_off_anywhere_is_refused(texts, tmp_path, written_as):
    path = tmp_path / "a"
    text = texts[written_as]
    whole = text.index(event_text.END[written_as]) + len(event_text.END[written_as])
    for length in [*range(0, whole, 7), whole - 1]:
        for pack in (bytes, gzip.compress):
            path.write_bytes(pack(text[:length]))
            with pytest.raises(InputError, match=r"/a: .*expected "):
                list(read_event_chunks(path))
    for pack in PACKERS:
        packed = pack(text)
        for length in range(7, len(packed) - 1, 11):
            path.write_bytes(packed[:length])
            with pytest.raises(InputError, match=r"/a: damaged or cut off after event \d"):
                list(read_event_chunks(path))


@FORMATS
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_garbled_text_is_refused_or_read_to_the_last_byte(texts, tmp_path, written_as, data):
    text = texts[written_as]
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(len(text), start + 300)))
    pieces = st.sampled_from([b"", b"<event>\n", b"</event>\n", b"E 1\n", b"\n", b"<", END.encode(), b"HepMC::", b"\0"])
    garbled = text[:start] + data.draw(pieces | st.binary(max_size=20)) + text[stop:]
    path = tmp_path / "a"
    path.write_bytes(garbled)
    read, complaint = outcome(lambda: list(read_event_chunks(path, 2)))
    if read is None:
        assert complaint.startswith(f"{path}: ")
        assert "\n" not in complaint
        return
    # Tags get lines of their own, and blank lines may go.
    rest = squeezed(garbled[garbled.index(read[0].header.split()[0]) :])
    for text_part in (read[0].header, *(event for chunk in read for event in chunk.events)):
        between, rest = rest.split(squeezed(text_part), 1)
        # Comments and tags may stand between the events of a Les Houches file.
        assert written_as is Format.LES_HOUCHES or between == b""
    assert rest.count(b"<event>") == 0
    assert event_text.END[written_as] in rest


def squeezed(text):
    """Removes all blanks."""
    return b"".join(text.split())


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "found an empty file"),
        (b"\n \n", "found an empty file"),
        (b"root\0\0\xff", "found 'root"),
        (b"HepMC::HEPEVT-START_EVENT_LISTING\n", "found 'HepMC::HEPEVT"),
        (b'<LesHouchesEvents version="9.0">\n' + END.encode(), "version 1, 2 or 3, found version '9.0'"),
        (b'<LesHouchesEvents version="1.0">\n<event>\n' + END.encode(), "expected </init> before the first event"),
        (b'<LesHouchesEvents version="1.0">\n<init>\n</init>\n' + END.encode(), "expected events, found none"),
        (gzip.compress(b"hello", mtime=0), "found 'hello'"),
        (b"\x1f\x8bhello", "damaged or cut off"),
        (b"BZh9hello", "damaged or cut off"),
        (b"\xfd7zXZ\0hello", "damaged or cut off"),
        (b"\x28\xb5\x2f\xfdhello", "compressed by zstd; decompress it first"),
        (b"PK\x03\x04hello", "compressed by zip"),
    ],
)
def test_what_holds_no_events_is_refused(tmp_path, content, words):
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        list(read_event_chunks(path))
    assert str(caught.value).startswith(f"{path}: ")


@FORMATS
def test_joined_files_and_other_text_are_refused(texts, tmp_path, written_as):
    path = tmp_path / "a"
    path.write_bytes(texts[written_as] * 2)
    with pytest.raises(InputError, match="if files were joined, give them one by one"):
        list(read_event_chunks(path))
    end = event_text.END[written_as]
    path.write_bytes(texts[written_as].replace(end, b"HepMC::Version\n" + end))
    with pytest.raises(InputError, match=r"event 3: expected"):
        list(read_event_chunks(path))


def test_missing_files_and_wrong_sizes(tmp_path, texts):
    with pytest.raises(InputError, match=r"none\.lhe: cannot be read \(No such file"):
        next(read_event_chunks(tmp_path / "none.lhe"))
    with pytest.raises(InputError, match="cannot be read"):
        next(read_event_chunks(tmp_path))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(
        InputError, match=r"pipe: cannot be read .no regular file.; give a file of Les Houches or HepMC"
    ):
        next(read_event_chunks(tmp_path / "pipe"))
    with pytest.raises(InputError, match="size: expected at least one"):
        next(read_event_chunks(tmp_path / "none.lhe", 0))


def test_oversized_events_are_refused(tmp_path, texts, monkeypatch):
    monkeypatch.setattr(event_text, "MAX_EVENT", 400)
    path = tmp_path / "a"
    for text in texts.values():
        path.write_bytes(text)
        with pytest.raises(InputError, match="within 400 bytes"):
            list(read_event_chunks(path))
    monkeypatch.setattr(event_files, "_MAX_LINE", 20)
    with pytest.raises(InputError, match="one of 20 bytes or more"):
        list(read_event_chunks(path))


def les_houches_variants():
    """Les Houches files as other writers put them, all with the same three events."""
    head, events, end = les_houches(["1", "2", "3"])
    body = "".join(events)
    return {
        "plain": head + body + end,
        "text behind": head + body + end + " #Random number generator exit values: 12 34 0\n",
        "more text behind": head + body + end + "\n 12 34\n<!-- <event>\n-->\n",
        "end of event behind a particle": head + body.replace("\n</event>", "</event>") + end,
        "blanks before tags": head
        + body.replace("<event>", "  <event>").replace("</event>", "\t</event>")
        + "  "
        + end,
        "init and event on a line": head.rstrip() + body + end,
        "events on a line": head + body.replace("</event>\n", "</event>") + end,
        "numbers behind the tag": head + body.replace("<event>\n", "<event npLO='1'>") + end,
        "end without a line": head + body + end.rstrip(),
        "weights declared before": head.replace(
            "<header>", "<initrwgt>\n<weight id='1'></weight>\n</initrwgt>\n<header>"
        )
        + body
        + end,
        "comments with tags": head.replace("<header>", "<!--\n <event>\n</init>\n-->\n<header>")
        + body.replace("</event>\n", "</event>\n<!-- <event> -->\n<!--\n</event>\n-->\n")
        + end,
    }


@pytest.mark.parametrize("name", les_houches_variants())
def test_les_houches_files_of_other_writers_hold_the_same_events(tmp_path, name):
    path = tmp_path / "a.lhe"
    read = {}
    for kind in ("plain", name):
        path.write_text(les_houches_variants()[kind])
        (chunk,) = read_event_chunks(path)
        read[kind] = [event.replace(b" npLO='1'", b"") for event in chunk.events]
    assert [event.split() for event in read[name]] == [event.split() for event in read["plain"]]
    assert all(event.splitlines()[0].strip() == b"<event>" for event in read[name])


@pytest.mark.parametrize("name", sorted(path.name for path in CASES.glob("*.lhe")))
def test_les_houches_files_of_others_are_read(name):
    contents = survey_event_file(CASES / name)
    assert contents.events == {"lw_4.lhe": 300, "pylhe-testfile-powheg-box-v2-hvq.lhe": 6}.get(name, 4)


def test_a_survey_refuses_damage_anywhere(tmp_path):
    head, events, end = les_houches(["1"] * 250)
    path = tmp_path / "a.lhe"
    path.write_text(head + "".join(events) + end)
    assert survey_event_file(path)[:4] == (Format.LES_HOUCHES, 250, 3, ("XWGTUP",))
    for damaged, words in (
        ([*events[:249], events[249].replace(" 21 ", " x ", 1)], "event 250: expected 13 finite numbers"),
        ([*events[:249], events[249].replace("</event>", "<rwgt><wgt id='a'>1</wgt></rwgt>\n</event>")],
         "event 250: expected the 1 weights of the first event, found 2, with 'a'"),
    ):  # fmt: skip
        path.write_text(head + "".join(damaged) + end)
        with pytest.raises(InputError, match=rf"a\.lhe: {words}"):
            survey_event_file(path)
