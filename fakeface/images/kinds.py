"""What a file is by its first bytes: the formats that are read, and for any other kind its name and what to do."""

import re

from PIL import features

# AVIF where Pillow was built with it, HEIC where the extra `heic` is installed
FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", *(["AVIF"] if features.check("avif") else []))
try:
    import pillow_heif

    pillow_heif.register_heif_opener()
    FORMATS += ("HEIF",)
except ImportError:
    pass

LOOKED_AT = 1024  # bytes
SAVE = "save it as PNG or JPEG"
# What Pillow refuses in a PNG
PACKED = "has texts or a colour profile of more than 1 MB when unpacked, or 64 MB together; save it again without them"
# Pattern where the file begins -> what it is. ISO's container of videos and pictures names itself in its brand.
KINDS = {
    rb"....ftyp(avi[fs]|(mif1|msf1).{4,40}avi[fs])": f"an AVIF file; `pip install -U pillow`, or {SAVE}",
    rb"....ftyp(he[iv][a-z]|mif1|msf1)": f"a HEIC file, as phones write it; `pip install pillow-heif`, or {SAVE}",
    rb"....ftypcrx": f"a raw file of a camera; {SAVE}",
    rb"....ftyp": "a video (MP4 or QuickTime); extract frames from it, for example with ffmpeg",
    rb"\x1aE\xdf\xa3|RIFF....AVI ": "a video (Matroska, WebM or AVI); extract frames from it, for example with ffmpeg",
    rb"GIF8[79]a": f"a GIF file; {SAVE}",
    rb"%PDF|%!PS": f"a PDF or PostScript document; {SAVE}",
    rb"8BPS": f"a Photoshop file; {SAVE}",
    rb"\xff\x0a|\0\0\0\x0cJXL ": f"a JPEG XL file; {SAVE}",
    rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  ": f"a JPEG 2000 file; {SAVE}",
    rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!": "an archive or an Office document; unpack it",
    rb"\0\x05\x16\x07": "macOS metadata of another file (AppleDouble); delete it",
    rb"version https://git-lfs": "a pointer of Git LFS; `git lfs pull` downloads the picture",
    rb"(\xef\xbb\xbf)?\s*(?=<)(?!.*<(html|!doctype html))(?=.*<svg)": f"a drawing (SVG); {SAVE}",
    rb"(\xef\xbb\xbf)?\s*<[!?a-z]": "a web page (HTML), perhaps an error page instead of the picture; download it again",
}
READ = {"an AVIF": "AVIF", "a HEIC": "HEIF"}


def no_picture(data: bytes) -> str:
    """Why bytes that Pillow takes for none of `FORMATS` cannot be read: what they are, as far as it is known, and what to do."""
    for pattern, words in KINDS.items():
        if re.match(pattern, data[:LOOKED_AT], re.DOTALL | re.IGNORECASE):
            name, _, _ = words.partition(" file")
            return f"is {name} file and damaged" if READ.get(name) in FORMATS else f"is {words}"
    return f"is not in a known image format ({', '.join(FORMATS)})"
