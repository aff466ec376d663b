"""What files say about themselves, as generators and programs write it; in every format, short, and never trusted."""

import io

import pytest
from hostile import chunk, encoded, jpeg_with
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from fakeface.images.claims import C2PA, LONGEST, claims
from fakeface.images.decode import opened

ASKED = "portrait of a woman\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a"
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmp:CreatorTool="Imagined 1.0" Iptc4xmpExt:DigitalSourceType='
    '"http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"/></rdf:RDF></x:xmpmeta>'
)
SOURCE = "digital source type compositeWithTrainedAlgorithmicMedia"
MANIFEST = b"JP\0\1\0\0\0\1\0\0\0\x26jumb\0\0\0\x1e" + C2PA + b"\3c2pa\0"


def said(data: bytes) -> str:
    with opened(data, 50) as (image, _):
        return claims(data, image.info)


def texts(compressed: bool = False, **values: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    for key, value in values.items():
        info.add_text(key, value, zip=compressed)
    return encoded("PNG", pnginfo=info)


def before_the_end(name: bytes, body: bytes) -> bytes:
    """A PNG file with a chunk behind its pixels."""
    data = encoded("PNG")
    return data[:-12] + chunk(name, body) + data[-12:]


def exif(**tags) -> Image.Exif:
    block = Image.Exif()
    for tag, value in tags.items():
        (block.get_ifd(0x8769) if tag == "x9286" else block)[int(tag[1:], 16)] = value
    return block


def xmp_in_png(compressed: bool) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP, zip=compressed)
    return encoded("PNG", pnginfo=info)


CASES = {
    "nothing": (encoded("JPEG"), ""),
    "other text": (texts(Comment="a holiday", Title="=1+1"), ""),
    "stable diffusion": (texts(parameters=ASKED), "PNG text parameters: portrait of a woman Negative prompt: blurry"),
    "compressed": (texts(True, parameters=ASKED), "PNG text parameters: portrait"),
    "after the pixels": (before_the_end(b"tEXt", b"parameters\0" + ASKED.encode()), "PNG text parameters: portrait"),
    "comfyui": (texts(prompt='{"3": 1}', workflow="{}"), 'PNG text prompt: {"3": 1}; PNG text workflow: {}'),
    "another case": (texts(Software="NovelAI"), "PNG text Software: NovelAI"),
    **{
        f"software in {kind}": (encoded(kind, exif=exif(x0131="Adobe Firefly")), "EXIF Software: Adobe Firefly")
        for kind in ("JPEG", "PNG", "WEBP", "TIFF")
    },
    "parameters in JPEG": (
        encoded("JPEG", exif=exif(x9286=b"UNICODE\0" + ASKED.encode("utf-16-be"))),
        "EXIF parameters: portrait of a woman Negative prompt",
    ),
    "comfyui in WebP": (encoded("WEBP", exif=exif(x0110='prompt:{"3": 1}')), 'EXIF prompt:{"3": 1}'),
    "a camera": (encoded("JPEG", exif=exif(x010F="Canon", x0110="EOS R5")), ""),
    "XMP in JPEG": (jpeg_with((0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP.encode())), f"Imagined 1.0; {SOURCE}"),
    "XMP in PNG": (xmp_in_png(False), f"XMP CreatorTool: Imagined 1.0; {SOURCE}"),
    "XMP compressed": (xmp_in_png(True), f"XMP CreatorTool: Imagined 1.0; {SOURCE}"),
    "XMP in WebP": (encoded("WEBP", xmp=XMP.encode()), SOURCE),
    "C2PA in JPEG": (jpeg_with((0xEB, MANIFEST)), "a C2PA manifest, not checked"),
    "C2PA in PNG": (before_the_end(b"caBX", MANIFEST[8:]), "a C2PA manifest"),
}


@pytest.mark.parametrize(("data", "words"), CASES.values(), ids=CASES.keys())
def test_what_a_file_says_is_repeated(data, words):
    assert words in said(data)
    assert bool(said(data)) == bool(words)


def test_it_is_one_short_line_whatever_stands_there():
    data = texts(parameters="\x1b[2J\u202e<b>&" + "x" * 900_000, Software="=cmd\r\n")
    parts = said(data).split("; ")
    assert parts == [parts[0], "PNG text Software: =cmd"]
    assert parts[0].startswith("PNG text parameters: \\x1b[2J\\u202e<b>&xxx")
    assert len(parts[0]) <= len("PNG text parameters: ") + LONGEST
    assert said(data).isprintable()


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow; `quiet` silences them in the commands
@given(st.binary(max_size=300), st.dictionaries(st.sampled_from(["exif", "xmp", "prompt"]), st.binary(max_size=99)))
def test_any_bytes_are_survived(data, info):
    assert claims(data, info).isprintable()
    block = io.BytesIO()
    Image.new("RGB", (8, 8)).save(block, "TIFF")
    assert claims(block.getvalue()[:40] + data, {}).isprintable()
