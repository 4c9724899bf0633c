"""Odd and broken files of the kinds that people report, each with what should become of it.

`PHOTOGRAPHS` are files that are scored, `ANNOTATIONS` files that are built into a category. Every entry writes one file
and is either read right or refused with one error that names the file. `python -m tests.data.odd_files FOLDER` writes
all of them, to look at or to try on another program.
"""

import io
import json
import os
import struct
import sys
import unicodedata
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin

HEIGHT, WIDTH = 64, 96
BOX = (10, 30, 40, 70)  # top, bottom, left, right of the region that annotations mark
# How Pillow turns the upright picture into the one stored with each orientation.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


class Kind(NamedTuple):
    """`write(folder)` makes the file and returns its path; `refused` is a part of the error, "" where it is read."""

    write: Callable[[Path], Path]
    refused: str = ""
    tolerance: float = 0.0  # of grey levels on average, for lossy formats


def picture(grey: bool = False) -> Image.Image:
    """The photograph (64, 96) that all files hold: no turn or exchange of channels leaves it unchanged."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    channels = (rows * 2, columns, 90 + 40 * np.sin(rows / 9) * np.cos(columns / 13))
    pixels = np.stack(channels, axis=2).astype(np.uint8)
    return Image.fromarray(pixels).convert("L") if grey else Image.fromarray(pixels)


def _saved(name: str, image: Callable[[], Image.Image] = picture, **options) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        image().save(folder / name, **options)
        return folder / name

    return write


def _written(name: str, content: Callable[[], bytes]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content())
        return folder / name

    return write


def _encoded(file_format: str, image: Callable[[], Image.Image] = picture, **options) -> bytes:
    stream = io.BytesIO()
    image().save(stream, file_format, **options)
    return stream.getvalue()


# -- orientation ------------------------------------------------------------------------------------------------------


def _turned(orientation: int) -> tuple[Image.Image, bytes]:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    turn = STORED[orientation]
    return picture() if turn is None else picture().transpose(turn), exif.tobytes()


def _with_orientation(orientation: int, file_format: str, **options) -> bytes:
    stored, exif = _turned(orientation)
    return _encoded(file_format, lambda: stored, exif=exif, **options)


def _tiff_with_orientation(orientation: int) -> bytes:
    return _encoded("TIFF", lambda: _turned(orientation)[0], tiffinfo={ExifTags.Base.Orientation: orientation})


def png_chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks of a PNG, as (type, data)."""
    chunks, position = [], 8
    while position < len(content):
        (length,) = struct.unpack_from(">I", content, position)
        chunks.append((content[position + 4 : position + 8], content[position + 8 : position + 8 + length]))
        position += 12 + length
    return chunks


def png_of(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG of chunks (type, data)."""
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _png_with_late_orientation(orientation: int) -> bytes:
    chunks = png_chunks(_with_orientation(orientation, "PNG"))
    exif = [chunk for chunk in chunks if chunk[0] == b"eXIf"]
    others = [chunk for chunk in chunks if chunk[0] != b"eXIf"]
    return png_of([*others[:-1], *exif, others[-1]])


def _jpeg_with_late_orientation(orientation: int) -> bytes:
    """A JPEG whose EXIF block stands behind a comment and the tables."""
    content = _with_orientation(orientation, "JPEG", quality=95)
    start = content.index(b"\xff\xe1")
    end = start + 2 + struct.unpack_from(">H", content, start + 2)[0]
    scan = content.index(b"\xff\xda", end)
    return content[:start] + b"\xff\xfe\x00\x06note" + content[end:scan] + content[start:end] + content[scan:]


CONTAINERS = {
    "in a PNG": ("png", lambda turn: _with_orientation(turn, "PNG"), 0.0),
    "behind the pixels of a PNG": ("png", _png_with_late_orientation, 0.0),
    "in a JPEG": ("jpg", lambda turn: _with_orientation(turn, "JPEG", quality=95), 3.0),
    "behind the tables of a JPEG": ("jpeg", _jpeg_with_late_orientation, 3.0),
    "in a TIFF": ("tif", _tiff_with_orientation, 0.0),
    "in a WebP": ("webp", lambda turn: _with_orientation(turn, "WEBP", lossless=True), 0.0),
    "in an AVIF": ("avif", lambda turn: _with_orientation(turn, "AVIF", quality=95), 4.0),
}
ORIENTATIONS = {
    f"orientation {turn} {where}": Kind(_written(f"turned.{ending}", lambda m=make, t=turn: m(t)), "", tolerance)
    for where, (ending, make, tolerance) in CONTAINERS.items()
    for turn in STORED
}


# -- photographs ------------------------------------------------------------------------------------------------------


def _deep(bits: int, grey: bool) -> np.ndarray:
    values = np.asarray(picture(grey)).astype(np.uint16) << (bits - 8)
    values[0, 0] = 2**bits - 1  # the depth shows in the largest value
    return values


def _deep_png(bits: int) -> bytes:
    return _encoded("PNG", lambda: Image.fromarray(_deep(bits, grey=True)))


def _deep_colour_png(bits: int) -> bytes:
    """Pillow writes no PNG of 16 bit in colours: its chunks are made here."""
    rows = _deep(bits, grey=False).astype(">u2").reshape(HEIGHT, -1)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, 2, 0, 0, 0)
    return png_of([(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")])


def _with_alpha() -> Image.Image:
    image = picture().convert("RGBA")
    image.putalpha(Image.fromarray(np.full((HEIGHT, WIDTH), 40, np.uint8)))
    return image


def _with_transparent_palette() -> bytes:
    return _encoded("PNG", lambda: picture(grey=True).convert("P"), transparency=3)


def _bomb() -> bytes:
    """A PNG of 60,000 x 60,000 pixels by its head."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return png_of([(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")])


def _with_bad_checksum() -> bytes:
    content = bytearray(_encoded("PNG"))
    content[content.index(b"IDAT") + 20] ^= 0xFF
    return bytes(content)


def _with_long_text() -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "x" * 3_000_000, zip=True)
    return _encoded("PNG", pnginfo=text)


def _animated() -> bytes:
    frames = [picture(), picture().transpose(Image.Transpose.ROTATE_180)]
    return _encoded("PNG", lambda: frames[0], save_all=True, append_images=frames[1:])


def _link(to: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / ".store").mkdir()
        picture().save(folder / ".store/real.png")
        path = folder / "link.png"
        path.symlink_to({"file": folder / ".store/real.png", "nothing": folder / "gone.png", "itself": path}[to])
        return path

    return write


def _folder_of_that_name(folder: Path) -> Path:
    (folder / "folder.png").mkdir()
    return _saved("folder.png/inner.png")(folder)


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.png")
    return folder / "pipe.png"


def _constant() -> Image.Image:
    return Image.new("RGB", (WIDTH, HEIGHT), (120, 120, 120))


GREY = "grey"  # a name in PHOTOGRAPHS that starts so holds the grey picture
PHOTOGRAPHS: dict[str, Kind] = {
    "a PNG": Kind(_saved("a.png")),
    "a BMP": Kind(_saved("a.bmp")),
    "a TIFF compressed by LZW": Kind(_saved("a.tiff", compression="tiff_lzw")),
    "a TIFF in tiles of Deflate": Kind(_saved("a.tif", compression="tiff_adobe_deflate")),
    "a JPEG 2000": Kind(_saved("a.jp2")),
    "a TGA": Kind(_saved("a.tga")),
    "a PPM": Kind(_saved("a.ppm")),
    "a progressive JPEG": Kind(_saved("a.jpg", quality=95, progressive=True), tolerance=3.0),
    "a CMYK JPEG": Kind(_saved("a.jpg", lambda: picture().convert("CMYK"), quality=95), tolerance=3.0),
    "a YCbCr TIFF": Kind(_saved("a.tif", lambda: picture().convert("YCbCr")), tolerance=2.0),
    "grey Lab TIFF": Kind(_saved("a.tif", lambda: picture(grey=True).convert("RGB").convert("LAB")), tolerance=1.0),
    "a PNG with alpha": Kind(_saved("a.png", _with_alpha)),
    "a WebP with alpha": Kind(_saved("a.webp", _with_alpha, lossless=True, exact=True)),
    "grey PNG": Kind(_saved("a.png", lambda: picture(grey=True))),
    "grey PNG with alpha": Kind(_saved("a.png", lambda: picture(grey=True).convert("LA"))),
    "grey with a palette": Kind(_saved("a.png", lambda: picture(grey=True).convert("P"))),
    "grey with a transparent entry of the palette": Kind(_written("a.png", _with_transparent_palette)),
    "grey GIF": Kind(_saved("a.gif", lambda: picture(grey=True))),
    "grey PGM": Kind(_saved("a.pgm", lambda: picture(grey=True))),
    "an animated PNG": Kind(_written("a.png", _animated), "a.png"),
    "an upper-case ending": Kind(_saved("A.PNG")),
    "a JPEG under the name of a PNG": Kind(_written("a.png", lambda: _encoded("JPEG", quality=95)), tolerance=3.0),
    "a PNG under the name of a JPEG": Kind(_written("a.jpg", lambda: _encoded("PNG"))),
    "3 megabytes of text in a PNG": Kind(_written("a.png", _with_long_text), "a.png"),
    "a link to a photograph": Kind(_link("file")),
    "a folder named like a photograph": Kind(_folder_of_that_name),
    "spaces in the name": Kind(_saved("lot 7 part 3.png")),
    "quotes in the name": Kind(_saved("lot'7\"part`3.png")),
    "dollar signs in the name": Kind(_saved("lot$7_$3^2.png")),
    "a per cent sign in the name": Kind(_saved("100%d %s.png")),
    "a newline and a tab in the name": Kind(_saved("lot\n7\t3.png")),
    "brackets and stars in the name": Kind(_saved("lot[7]*?.png")),
    "a backslash in the name": Kind(_saved("lot\\7.png")),
    "a comma and a semicolon in the name": Kind(_saved("lot,7;3.png")),
    "a leading dash in the name": Kind(_saved("--out.png")),
    "composed accents": Kind(_saved(unicodedata.normalize("NFC", "Prüfung é.png"))),
    "decomposed accents": Kind(_saved(unicodedata.normalize("NFD", "Prüfung é.png"))),
    "characters beyond the basic plane": Kind(_saved("部品🔩.png")),
    "a name of 255 characters": Kind(_saved("n" * 251 + ".png")),
    "bytes that are no valid text": Kind(_saved(os.fsdecode(b"lot\xff7.png"))),
    "an empty file": Kind(_written("a.png", bytes), "a.png"),
    "a truncated PNG": Kind(_written("a.png", lambda: _encoded("PNG")[:-400]), "a.png"),
    "a truncated JPEG": Kind(_written("a.jpg", lambda: _encoded("JPEG")[:-200]), "a.jpg"),
    "a truncated WebP": Kind(_written("a.webp", lambda: _encoded("WEBP")[:-200]), "a.webp"),
    "a truncated TIFF": Kind(_written("a.tif", lambda: _encoded("TIFF")[:2000]), "a.tif"),
    "a truncated BMP": Kind(_written("a.bmp", lambda: _encoded("BMP")[:2000]), "a.bmp"),
    "only the head of a PNG": Kind(_written("a.png", lambda: _encoded("PNG")[:20]), "a.png"),
    "a PNG with a wrong checksum": Kind(_written("a.png", _with_bad_checksum), "a.png"),
    "text": Kind(_written("a.png", lambda: b"not a photograph"), "a.png"),
    "a web page": Kind(_written("a.jpg", lambda: b"<html>404</html>"), "a.jpg"),
    "zeros": Kind(_written("a.jpg", lambda: bytes(4096)), "a.jpg"),
    "a PNG of 3,600 megapixels": Kind(_written("a.png", _bomb), "a.png"),
    "floating point": Kind(_saved("a.tif", lambda: Image.fromarray(np.zeros((8, 8), np.float32))), "a.tif"),
    "10 bit grey of a detector of 8 bit": Kind(_written("a.png", lambda: _deep_png(10)), "a.png"),
    "12 bit grey of a detector of 8 bit": Kind(_written("a.png", lambda: _deep_png(12)), "a.png"),
    "12 bit colours of a detector of 8 bit": Kind(_written("a.png", lambda: _deep_colour_png(12)), "a.png"),
    "a broken link": Kind(_link("nothing"), "link.png"),
    "a link to itself": Kind(_link("itself"), "link.png"),
    "a named pipe": Kind(_pipe, "pipe.png"),
    "a raw photograph": Kind(_written("a.nef", lambda: b"II*\0raw"), "a.nef"),
    "a phone's photograph": Kind(_written("a.heic", lambda: b"\0\0\0\x18ftypheic"), "a.heic"),
    "a drawing program's file": Kind(_written("a.xcf", lambda: b"gimp xcf"), "a.xcf"),
}
# Photographs of these kinds are scored, whatever their content.
OTHER_CONTENT: dict[str, Kind] = {
    "one pixel": Kind(_saved("a.png", lambda: Image.new("RGB", (1, 1)))),
    "one row": Kind(_saved("a.png", lambda: Image.new("RGB", (3000, 1), (9, 99, 199)))),
    "black and white": Kind(_saved("a.png", lambda: picture(grey=True).convert("1"))),
    "one colour": Kind(_saved("a.png", _constant)),
    "12 megapixels": Kind(_saved("a.jpg", lambda: picture().resize((4000, 3000)))),
}


# -- annotations ------------------------------------------------------------------------------------------------------


def _mask(value: int = 255, background: int = 0) -> np.ndarray:
    mask = np.full((HEIGHT, WIDTH), background, np.uint8)
    mask[BOX[0] : BOX[1], BOX[2] : BOX[3]] = value
    return mask


def _mask_file(name: str, image: Callable[[], Image.Image], **options) -> Kind:
    return Kind(_saved(name, image, **options))


def _coloured_mask() -> Image.Image:
    red = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    red[BOX[0] : BOX[1], BOX[2] : BOX[3], 0] = 255
    return Image.fromarray(red)


def _palette_mask(colours: list[int]) -> Image.Image:
    image = Image.frombytes("P", (WIDTH, HEIGHT), _mask(1).tobytes())
    image.putpalette(colours)
    return image


def _transparent_mask() -> Image.Image:
    grey = _mask()
    return Image.fromarray(np.dstack([grey, grey, grey, grey]))


def _mask_in_alpha() -> Image.Image:
    """White everywhere, opaque where the defect is, as drawing programs save a layer."""
    return Image.fromarray(np.dstack([np.full((HEIGHT, WIDTH, 3), 255, np.uint8), _mask()]))


def _json(name: str, content: object) -> Callable[[Path], Path]:
    return _written(name, lambda: json.dumps(content).encode())


def _corners() -> list[list[float]]:
    top, bottom, left, right = BOX
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def _labelme(*shapes: dict, height: int = HEIGHT, width: int = WIDTH, path: str = "0.png") -> dict:
    return {"imageHeight": height, "imageWidth": width, "imagePath": path, "shapes": list(shapes)}


def _shape(points: list, label: str = "scratch", kind: str = "polygon") -> dict:
    return {"label": label, "points": points, "shape_type": kind}


def _coco(segmentation: object, file_name: str = "0.png", category: str = "scratch", size=(HEIGHT, WIDTH)) -> dict:
    return {
        "images": [{"id": 1, "file_name": file_name, "height": size[0], "width": size[1]}],
        "categories": [{"id": 1, "name": category}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": segmentation}],
    }


def _flat(points: list[list[float]]) -> list[float]:
    return [value for point in points for value in point]


def _ring() -> list[list[float]]:
    """A polygon with a hole as COCO's exports join them: outer ring and inner ring in one list, by a seam."""
    top, bottom, left, right = BOX
    inner = [[left + 10, top + 5], [left + 10, bottom - 5], [right - 10, bottom - 5], [right - 10, top + 5]]
    return [*_corners(), _corners()[0], *inner, inner[0]]


def region(hole: bool = False, crossing: bool = False) -> np.ndarray:
    """The mask (64, 96) that an annotation means."""
    mask = _mask() > 0
    top, bottom, left, right = BOX
    if hole:
        mask[top + 5 : bottom - 5, left + 10 : right - 10] = False
    if crossing:  # the two triangles of a bow tie
        rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
        along, across = (columns - left) / (right - left) - 0.5, (rows - top) / (bottom - top) - 0.5
        mask &= np.abs(along) >= np.abs(across)
    return mask


_BOW_TIE = [_corners()[0], _corners()[2], _corners()[1], _corners()[3]]
ANNOTATIONS: dict[str, Kind] = {
    "a mask of 0 and 255": _mask_file("0_scratch.png", lambda: Image.fromarray(_mask())),
    "a mask of 0 and 1": _mask_file("0_scratch.png", lambda: Image.fromarray(_mask(1))),
    "a mask of 0 and 128": _mask_file("0_scratch.png", lambda: Image.fromarray(_mask(128))),
    "a mask of one bit": _mask_file("0_scratch.png", lambda: Image.fromarray(_mask() > 0)),
    "a mask of 16 bit": _mask_file("0_scratch.png", lambda: Image.fromarray(_mask().astype(np.uint16) * 257)),
    "a mask in RGB": _mask_file("0_scratch.png", lambda: Image.fromarray(_mask()).convert("RGB")),
    "a mask in RGBA": _mask_file("0_scratch.png", lambda: Image.fromarray(_mask()).convert("RGBA")),
    "a mask of black and white entries": _mask_file("0_scratch.png", lambda: _palette_mask([0] * 3 + [255] * 3)),
    "a mask of coloured entries": _mask_file("0_scratch.png", lambda: _palette_mask([0, 0, 0, 200, 30, 30])),
    "a mask that is transparent elsewhere": _mask_file("0_scratch.png", _transparent_mask),
    "a mask as BMP": _mask_file("0_scratch.bmp", lambda: Image.fromarray(_mask())),
    "a mask as TIFF by LZW": _mask_file("0_scratch.tif", lambda: Image.fromarray(_mask()), compression="tiff_lzw"),
    "a mask with an upper-case ending": _mask_file("0_scratch.PNG", lambda: Image.fromarray(_mask())),
    "a mask in a folder of its defect": Kind(lambda folder: _in_folder(folder, "scratch/0.png")),
    "labelme": Kind(_json("0.json", _labelme(_shape(_corners())))),
    "labelme of a photograph in another folder": Kind(
        _json("0.json", _labelme(_shape(_corners()), path="..\\elsewhere\\0.png"))
    ),
    "labelme with a byte order mark": Kind(
        _written("0.json", lambda: json.dumps(_labelme(_shape(_corners()))).encode("utf-8-sig"))
    ),
    "labelme beyond the border": Kind(
        _json("0.json", _labelme(_shape(_corners(), kind="polygon"), _shape([[-9, -9], [-3, -9], [-3, -3]])))
    ),
    "COCO polygons": Kind(_json("any.json", _coco([_flat(_corners())]))),
    "COCO of an absolute path": Kind(_json("any.json", _coco([_flat(_corners())], "/data/line 3/0.png"))),
    "COCO of a path with backslashes": Kind(_json("any.json", _coco([_flat(_corners())], "C:\\line\\0.png"))),
    "COCO with a hole": Kind(_json("any.json", _coco([_flat(_ring())]))),
    "COCO with a crossing outline": Kind(_json("any.json", _coco([_flat(_BOW_TIE)]))),
    "labelme with a crossing outline": Kind(_json("0.json", _labelme(_shape(_BOW_TIE)))),
    "a mask in the alpha channel alone": Kind(_saved("0_scratch.png", _mask_in_alpha), "0_scratch.png"),
    "a mask in colours": Kind(_saved("0_scratch.png", _coloured_mask), "0_scratch.png"),
    "a mask of two grey levels": Kind(
        _saved("0_scratch.png", lambda: Image.fromarray(np.maximum(_mask(30), _mask(10)[::-1]))), "0_scratch.png"
    ),
    "a mask of another size": Kind(_saved("0_scratch.png", lambda: Image.fromarray(_mask()[:32])), "0_scratch.png"),
    "a mask turned on its side": Kind(_saved("0_scratch.png", lambda: Image.fromarray(_mask().T)), "0_scratch.png"),
    "a mask as JPEG": Kind(_saved("0_scratch.jpg", lambda: Image.fromarray(_mask())), "0_scratch.jpg"),
    "a mask of an unknown defect": Kind(_saved("0_dent.png", lambda: Image.fromarray(_mask())), "0_dent.png"),
    "a mask of no photograph": Kind(_saved("77_scratch.png", lambda: Image.fromarray(_mask())), "77_scratch.png"),
    "a truncated mask": Kind(_written("0_scratch.png", lambda: _encoded("PNG")[:-400]), "0_scratch.png"),
    "an empty mask file": Kind(_written("0_scratch.png", bytes), "0_scratch.png"),
    "text under the name of a mask": Kind(_written("0_scratch.png", lambda: b"defect here"), "0_scratch.png"),
    "a drawing program's mask": Kind(_written("0_scratch.xcf", lambda: b"gimp xcf"), "0_scratch.xcf"),
    "a table": Kind(_written("boxes.csv", lambda: b"image,x,y\n0,3,4\n"), "boxes.csv"),
    "YOLO's text": Kind(_written("0.txt", lambda: b"0 0.5 0.5 0.2 0.2\n"), "0.txt"),
    "Pascal VOC's XML": Kind(_written("0.xml", lambda: b"<annotation/>"), "0.xml"),
    "JSON cut short": Kind(_written("0.json", lambda: b'{"shapes": ['), "0.json"),
    "JSON that is a list": Kind(_json("0.json", [1, 2]), "0.json"),
    "JSON of another program": Kind(_json("0.json", {"regions": []}), "0.json"),
    "labelme of an unknown label": Kind(_json("0.json", _labelme(_shape(_corners(), "dent"))), "0.json"),
    "labelme of another size": Kind(_json("0.json", _labelme(_shape(_corners()), height=10, width=10)), "0.json"),
    "labelme of two points": Kind(_json("0.json", _labelme(_shape(_corners()[:2]))), "0.json"),
    "labelme of a line": Kind(_json("0.json", _labelme(_shape(_corners()[:2], kind="line"))), "0.json"),
    "labelme of points that are no numbers": Kind(_json("0.json", _labelme(_shape([["a", "b"]] * 3))), "0.json"),
    "labelme of no photograph": Kind(_json("77.json", _labelme(_shape(_corners()))), "77.json"),
    "COCO of an unknown category": Kind(_json("c.json", _coco([_flat(_corners())], category="dent")), "c.json"),
    "COCO of no photograph": Kind(_json("c.json", _coco([_flat(_corners())], "77.png")), "c.json"),
    "COCO of another size": Kind(_json("c.json", _coco([_flat(_corners())], size=(10, 10))), "c.json"),
    "COCO of a box alone": Kind(_json("c.json", _coco([])), "c.json"),
    "COCO of a polygon of two points": Kind(_json("c.json", _coco([[1, 2, 3, 4]])), "c.json"),
    "COCO of an odd count of numbers": Kind(_json("c.json", _coco([[1, 2, 3, 4, 5, 6, 7]])), "c.json"),
    "COCO of runs of another length": Kind(
        _json("c.json", _coco({"counts": [5, 5], "size": [HEIGHT, WIDTH]})), "c.json"
    ),
    "COCO of points that are not finite": Kind(
        _written("c.json", lambda: json.dumps(_coco([[1, 2, float("nan"), 4, 5, 6]])).encode()), "c.json"
    ),
}


def _in_folder(folder: Path, name: str) -> Path:
    (folder / name).parent.mkdir()
    return _saved(name, lambda: Image.fromarray(_mask()))(folder)


def write_all(folder: Path) -> int:
    """Every file in a folder of its own, named after its kind; the number of files."""
    groups = {"photographs": PHOTOGRAPHS | OTHER_CONTENT | ORIENTATIONS, "annotations": ANNOTATIONS}
    for group, kinds in groups.items():
        for name, kind in kinds.items():
            (folder / group / name).mkdir(parents=True)
            kind.write(folder / group / name)
    return sum(map(len, groups.values()))


if __name__ == "__main__":
    print(f"{write_all(Path(sys.argv[1]))} files written to {sys.argv[1]}")
