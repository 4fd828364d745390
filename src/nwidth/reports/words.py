"""Numbers as people read them. A limit is rounded up, never down: a limit that is rounded away is no limit."""

import math

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power_of_ten(exponent: int) -> str:
    """'10⁻⁶'."""
    return f"10{str(exponent).translate(_SUPERSCRIPT)}"


def significant(value: float, digits: int = 2) -> str:
    """A number with `digits` significant digits, grouped by thousands, as a power of ten where it is long."""
    if not math.isfinite(value):
        return "∞" if value > 0 else ("-∞" if value < 0 else "not a number")
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    rounded = round(value, digits - 1 - exponent)
    exponent = math.floor(math.log10(abs(rounded)))
    if exponent < -4 or exponent > 14:
        return f"{rounded / 10.0**exponent:.{digits - 1}f}·{power_of_ten(exponent)}"
    return f"{rounded:,.{max(0, digits - 1 - exponent)}f}"


def exact(value: float) -> str:
    """A number that someone chose, such as the end of a range: no digits are added, thousands are grouped."""
    return f"{value:,.6g}"


def deviation(value: float) -> str:
    """A relative deviation that should be rounding: said in words where it is, so that its last bits show nowhere."""
    return "rounding only" if value < 1e-12 else significant(value)


def round_up(value: float, digits: int = 2) -> float:
    """The smallest number with `digits` significant digits that is not below `value` > 0."""
    if not math.isfinite(value) or value <= 0:
        return value
    exponent = math.floor(math.log10(value)) - digits + 1
    steps = math.ceil(value / 10.0**exponent)
    return float(f"{steps}e{exponent}")


def at_most(value: float, unit: str = "", digits: int = 2) -> str:
    """A limit with its unit, rounded up."""
    return with_unit(significant(round_up(value, digits), digits), unit)


def quantity(value: float, unit: str = "", digits: int = 2) -> str:
    """A measured value with its unit."""
    return with_unit(significant(value, digits), unit)


def with_unit(text: str, unit: str) -> str:
    """Number and unit with a no-break space between them."""
    return f"{text}\N{NO-BREAK SPACE}{unit}" if unit else text


def percent(value: float, digits: int = 2) -> str:
    """A relative number in percent."""
    return quantity(100 * value, "%", digits)


def count(value: float) -> str:
    """A whole number with separators; 'never' for infinity."""
    return f"{int(value):,}" if math.isfinite(value) else "never"


def factor(value: float) -> str:
    """A ratio: '21,000 x', '1.6 x'."""
    return f"{significant(value)}\N{NO-BREAK SPACE}x"


_TIMES = ((60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def duration(seconds: float, digits: int = 2) -> str:
    """A time in the unit that suits it: '9 µs', '190 ms', '2.3 min'."""
    if not math.isfinite(seconds) or seconds <= 0:
        return significant(seconds)
    seconds = float(f"{seconds:.{digits - 1}e}")
    for scale, unit in _TIMES:
        if seconds >= scale:
            return quantity(seconds / scale, unit, digits)
    return quantity(seconds / 1e-9, "ns", digits)


def plural(number: int, word: str) -> str:
    """'1 run', '3 runs'."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"
