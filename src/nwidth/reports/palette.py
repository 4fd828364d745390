"""The colours of figures and page: roles, not hues, from the colour-blind-safe set of Okabe and Ito."""

from dataclasses import astuple, dataclass, fields


@dataclass(frozen=True)
class Palette:
    """Roles, not hues: text, faint text, lines of the grid, and what the data mean."""

    ink: str
    muted: str
    rule: str
    surface: str
    good: str
    bad: str
    unsure: str
    first: str
    second: str
    third: str


LIGHT = Palette(
    "#1b2230", "#5c6675", "#dde2ea", "#ffffff", "#0b8a66", "#c8501a", "#7a8391", "#1f6fb2", "#d98a00", "#a2558a"
)
DARK = Palette(
    "#e8ecf3", "#a3adbb", "#353d4a", "#161b23", "#35c79a", "#f0824e", "#98a2b0", "#62aeea", "#f0b13c", "#d68cbd"
)
#: Placeholders that no figure uses by accident; `--name` stands for each in the page.
PAGE = Palette(*(f"#0{i:x}0{i:x}f{i:x}" for i in range(len(fields(Palette)))))


def css_variables(palette: Palette) -> str:
    """The palette as CSS declarations."""
    return " ".join(f"--{f.name}: {value};" for f, value in zip(fields(palette), astuple(palette), strict=True))
