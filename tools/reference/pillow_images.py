"""Writes fixtures/pillow_images.tar: small pictures made here, and what Pillow makes of them.

    python tools/reference/pillow_images.py        # Pillow 13.0.0, numpy

`cases.json` lists for each lossless picture and preprocessing the SHA-256 of the pixels, `[height, width, 3]` bytes. JPEG
decoders differ in single levels, so for these the pixels themselves are there, as PNG.

Pillow clips grey of 16 bits at 255 when it converts it to RGB; here its upper eight bits are taken, as Pillow itself does
for colours of 16 bits.
"""

import hashlib
import io
import json
import pathlib
import struct
import tarfile
import zlib

import numpy as np
from PIL import Image, ImageOps
from PIL import __version__ as PILLOW

assert PILLOW == "13.0.0", PILLOW
OUT = pathlib.Path(__file__).parents[2] / "fixtures" / "pillow_images.tar"
RNG = np.random.default_rng(25)
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
MEAN = (0.48, 0.46, 0.41)


def noise(height, width, channels, bits=8):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return RNG.integers(0, 1 << bits, shape, dtype=np.uint8 if bits == 8 else np.uint16)


def gradient(height, width):
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1), (x * 7 + y * 13) % 256], -1).astype(np.uint8)


def saved(image, kind="PNG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png16(array, colour):
    """A PNG of 16 bits a channel, which Pillow does not write."""
    height, width = array.shape[:2]
    rows = b"".join(b"\0" + array[y].astype(">u2").tobytes() for y in range(height))

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def pictures():
    yield "gradient.png", saved(Image.fromarray(gradient(37, 53)))
    yield "noise.png", saved(Image.fromarray(noise(31, 29, 3)))
    yield "one_pixel.png", saved(Image.fromarray(noise(1, 1, 3)))
    yield "wide.png", saved(Image.fromarray(noise(1, 700, 3)))
    yield "tall.png", saved(Image.fromarray(noise(900, 2, 3)))
    yield "checks.png", saved(Image.fromarray(((np.indices((64, 64)).sum(0) % 2) * 255).astype(np.uint8).repeat(3).reshape(64, 64, 3)))
    yield "alpha.png", saved(Image.fromarray(noise(23, 40, 4)))
    yield "grey.png", saved(Image.fromarray(noise(25, 18, 1)))
    yield "grey_alpha.png", saved(Image.fromarray(noise(20, 20, 2), "LA"))
    yield "bits.png", saved(Image.fromarray(noise(19, 33, 1) > 127))
    yield "interlaced_look.png", saved(Image.fromarray(gradient(9, 9)).resize((90, 9)))
    palette = Image.fromarray(gradient(40, 40)).quantize(13)
    yield "palette.png", saved(palette)
    yield "palette_clear.png", saved(palette, transparency=3)
    yield "palette_alphas.png", saved(palette, transparency=bytes(range(0, 260, 20)))
    yield "colour_key.png", saved(Image.fromarray(np.where(noise(12, 12, 1)[..., None] > 90, gradient(12, 12), 7).astype(np.uint8)), transparency=(7, 7, 7))
    yield "grey16.png", png16(noise(17, 21, 1, 16), 0)
    yield "rgb16.png", png16(noise(17, 21, 3, 16), 2)
    yield "rgba16.png", png16(noise(17, 21, 4, 16), 6)
    yield "grey_alpha16.png", png16(noise(17, 21, 2, 16), 4)
    yield "palette.gif", saved(palette, "GIF")
    yield "clear.gif", saved(palette, "GIF", transparency=2)
    frames = [Image.fromarray(gradient(24, 30)).quantize(8), Image.fromarray(noise(24, 30, 3)).quantize(8)]
    yield "frames.gif", saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    yield "lossless.webp", saved(Image.fromarray(noise(22, 35, 3)), "WEBP", lossless=True)
    yield "lossless_alpha.webp", saved(Image.fromarray(noise(22, 35, 4)), "WEBP", lossless=True, exact=True)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield f"turned{orientation}.png", saved(Image.fromarray(gradient(14, 22)), exif=exif)
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "turned6.webp", saved(Image.fromarray(gradient(14, 22)), "WEBP", lossless=True, exif=exif)


def jpegs():
    smooth = Image.fromarray(gradient(48, 64))
    yield "444.jpg", saved(smooth, "JPEG", quality=92, subsampling=0)
    yield "420.jpg", saved(smooth, "JPEG", quality=80, subsampling=2)
    yield "progressive.jpg", saved(smooth, "JPEG", quality=85, progressive=True)
    yield "grey.jpg", saved(smooth.convert("L"), "JPEG", quality=85)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield f"turned{orientation}.jpg", saved(smooth.crop((0, 0, 24, 16)), "JPEG", quality=95, subsampling=0, exif=exif)


def load(content, background):
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    if background is None or not ("A" in image.mode or "transparency" in image.info):
        return image.convert("RGB")
    image = image.convert("RGBA")
    canvas = Image.new("RGB", image.size, background)
    canvas.paste(image, mask=image.getchannel("A"))
    return canvas


def fitted(image, fit, size, resample):
    if fit == "stretch":
        return image.resize(size, resample)
    if fit == "pad":
        side = max(image.size)
        square = Image.new("RGB", (side, side), tuple(int(255 * np.float64(np.float32(mean))) for mean in MEAN))
        square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
        return square.resize(size, resample)
    short = max(size)
    width, height = image.size
    full = (short, int(short * height / width)) if width <= height else (int(short * width / height), short)
    left, top = (full[0] - size[0]) // 2, (full[1] - size[1]) // 2
    return image.resize(full, resample).crop((left, top, left + size[0], top + size[1]))


def main():
    files, cases = {}, []
    for name, content in pictures():
        files[name] = content
        for background in (None, (255, 255, 255), (10, 120, 200)):
            image = load(content, background)
            plain = image.tobytes()
            case = {"file": name, "background": background}
            cases.append(case | {"width": image.width, "height": image.height, "sha256": hashlib.sha256(plain).hexdigest()})
            for fit in ("stretch", "pad", "crop"):
                for (width, height), filter_name in [((16, 16), "bicubic"), ((16, 16), "bilinear"), ((56, 40), "bicubic"), ((7, 96), "bilinear")]:
                    pixels = fitted(image, fit, (width, height), FILTERS[filter_name]).tobytes()
                    cases.append(case | {"width": width, "height": height, "fit": fit, "filter": filter_name, "sha256": hashlib.sha256(pixels).hexdigest()})
    for name, content in jpegs():
        files[name] = content
        files[name + ".png"] = saved(load(content, None))
    about = {"generator": "tools/reference/pillow_images.py", "pillow": PILLOW, "mean": MEAN}
    lines = ",\n".join(json.dumps(case) for case in cases)
    files["cases.json"] = f'{{"about": {json.dumps(about)}, "cases": [\n{lines}\n]}}\n'.encode()
    with tarfile.open(OUT, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    print(f"{OUT}: {OUT.stat().st_size} bytes, {len(files)} files, {len(cases)} cases")


if __name__ == "__main__":
    main()
