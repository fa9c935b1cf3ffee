"""Writes the subsets of free fonts in crates/data/fonts/, which the picture generators draw text with.

    pip install fonttools
    apt-get download fonts-comic-neue fonts-dejavu-core fonts-ebgaramond fonts-firacode fonts-jetbrains-mono \
        fonts-lato fonts-liberation2 fonts-noto-core
    for package in *.deb; do dpkg -x "$package" root; done
    python tools/subset_fonts.py root crates/data/fonts

A subset keeps the outlines and widths of printable ASCII and of Russian Cyrillic. It has another name, because licences
reserve the names of the originals; copyright and licence stay in the file, and that of the package lies beside it.
"""

import pathlib
import shutil
import sys

from fontTools import subset
from fontTools.ttLib import TTFont

# Name here: package, file, whether it belongs to a family that training never sees.
FACES = {
    "sans": ("fonts-liberation2", "liberation2/LiberationSans-Regular.ttf"),
    "sans-bold": ("fonts-liberation2", "liberation2/LiberationSans-Bold.ttf"),
    "serif": ("fonts-liberation2", "liberation2/LiberationSerif-Regular.ttf"),
    "serif-italic": ("fonts-liberation2", "liberation2/LiberationSerif-Italic.ttf"),
    "mono": ("fonts-liberation2", "liberation2/LiberationMono-Regular.ttf"),
    "humanist": ("fonts-noto-core", "noto/NotoSans-Regular.ttf"),
    "book": ("fonts-noto-core", "noto/NotoSerif-Regular.ttf"),
    "wide": ("fonts-dejavu-core", "dejavu/DejaVuSans.ttf"),
    "slab": ("fonts-dejavu-core", "dejavu/DejaVuSerif.ttf"),
    "code": ("fonts-firacode", "firacode/FiraCode-Regular.ttf"),
    "hand": ("fonts-comic-neue", "comic-neue/ComicNeue-Regular.otf"),
    "held-out-sans": ("fonts-lato", "lato/Lato-Regular.ttf"),
    "held-out-serif": ("fonts-ebgaramond", "ebgaramond/EBGaramond12-Regular.otf"),
    "held-out-mono": ("fonts-jetbrains-mono", "jetbrains-mono/JetBrainsMono-Regular.ttf"),
}
CHARACTERS = [*range(0x20, 0x7F), *range(0x410, 0x450), 0x401, 0x451]


def main(root: pathlib.Path, out: pathlib.Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name, (package, path) in FACES.items():
        [source] = root.glob(f"usr/share/fonts/*/{path}")
        font = TTFont(source)
        options = subset.Options()
        options.hinting = False
        options.layout_features = []
        options.notdef_outline = True
        options.name_IDs = [0, 1, 2, 3, 4, 6, 13, 14]
        options.drop_tables += ["FFTM", "GDEF", "GPOS", "GSUB", "kern", "DSIG", "meta", "STAT"]
        subsetter = subset.Subsetter(options)
        subsetter.populate(unicodes=CHARACTERS)
        subsetter.subset(font)
        for record in font["name"].names:
            if record.nameID in (1, 3, 4, 6):
                record.string = f"Maquette-{name}"
        if "CFF " in font:
            font["CFF "].cff.fontNames = [f"Maquette-{name}"]
            font["CFF "].cff[0].rawDict.update({"FullName": f"Maquette-{name}", "FamilyName": f"Maquette-{name}"})
        target = out / f"{name}{source.suffix}"
        font.save(target)
        licence = out / f"LICENCE-{package}.txt"
        documented = root / "usr/share/doc" / package / "copyright"
        shutil.copyfile(documented, licence)
        print(f"{target}: {target.stat().st_size} bytes, {len(font.getBestCmap())} characters")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
