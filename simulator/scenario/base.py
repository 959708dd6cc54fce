"""The strict, frozen base of every configuration model, and the quantities they are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cache
from itertools import chain
from typing import Annotated, Any, Literal, Self
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from simulator.scenario.frozen import frozen
from simulator.units import (
    Rates,
    TokenPrice,
    check_money,
    parse_change,
    parse_duration_s,
    parse_memory_bytes,
    parse_multiple,
    parse_share,
    parse_token_price,
    parse_usd,
    parse_usd_per_gb,
    parse_usd_per_hour,
    parse_usd_per_kw_month,
    parse_usd_per_kwh,
    parse_usd_per_month,
    parse_usd_per_year,
)


class FieldError(ValueError):
    """A check of a whole model found one of its fields wrong.

    Attributes:
        key: Path of that field within the model.
    """

    def __init__(self, key: tuple[str | int, ...], message: str) -> None:
        super().__init__(message)
        self.key = key


class FieldErrors(ValueError):
    """Checks of a whole model found several things wrong.

    Attributes:
        errors: Each of them.
    """

    def __init__(self, errors: list[ValueError]) -> None:
        super().__init__("; ".join(map(str, errors)))
        self.errors = errors


#: What a check found: a `FieldError`, or a `ValueError` about the whole, behind which nothing more is looked at.
Faults = Iterator[ValueError]
_Check = Callable[[Any], Faults]


def check(method: _Check) -> _Check:
    """Have a method say what is wrong with a model whose fields are valid one by one."""
    method.is_check = True  # type: ignore[attr-defined]
    return method


class Config(BaseModel):
    """Frozen, strict, no unknown keys; a field's docstring becomes its JSON Schema description.

    All that its methods marked `check` find is reported at once.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        arbitrary_types_allowed=True,
        ser_json_inf_nan="null",
    )

    @model_validator(mode="after")
    def _freeze(self) -> Self:
        """Down to its maps and lists: what is in a scenario is what its hash was made of."""
        for name, value in self.__dict__.items():
            if isinstance(value, (dict, list)):
                self.__dict__[name] = frozen(value)
        return self

    @model_validator(mode="after")
    def _holds(self) -> Self:
        found: list[ValueError] = []
        for error in chain.from_iterable(one(self) for one in _checks_of(type(self))):
            found.append(error)
            if not isinstance(error, FieldError):
                break
        if len(found) > 1:
            raise FieldErrors(found)
        if found:
            raise found[0]
        return self


@cache
def _checks_of(model: type[Config]) -> tuple[_Check, ...]:
    """In the order in which they are written, those of its bases first."""
    methods = {name: one for base in reversed(model.__mro__) for name, one in vars(base).items()}
    return tuple(one for one in methods.values() if getattr(one, "is_check", False))


def _quantity(example: str) -> object:
    return Field(json_schema_extra={"type": "string", "examples": [example]})


def _money(parse: Callable[[object, Rates], Any]) -> BeforeValidator:
    """Amounts in any currency that the validation's context has the rate of."""

    def read(value: object, info: ValidationInfo) -> Any:  # noqa: ANN401 - an amount, or a price of tokens
        return parse(value, info.context or {})

    read.parse = parse  # type: ignore[attr-defined]
    return BeforeValidator(read)


def _checked(value: str, info: ValidationInfo) -> str:
    return check_money(value, info.context or {})


Seconds = Annotated[float, BeforeValidator(parse_duration_s), _quantity("30min")]
Share = Annotated[
    float,
    BeforeValidator(parse_share),
    Field(json_schema_extra={"type": ["number", "string"], "minimum": 0, "maximum": 1, "examples": ["25 %", 0.25]}),
]
Multiple = Annotated[
    float,
    BeforeValidator(parse_multiple),
    Field(json_schema_extra={"type": ["number", "string"], "minimum": 0, "maximum": 1000, "examples": ["250 %", 2.5]}),
]
MemoryBytes = Annotated[
    int,
    BeforeValidator(parse_memory_bytes),
    Field(json_schema_extra={"type": ["integer", "string"], "examples": ["40 GiB", 42949672960]}),
]
YearlyChange = Annotated[
    float,
    BeforeValidator(parse_change),
    Field(json_schema_extra={"type": ["number", "string"], "minimum": -0.9, "maximum": 1, "examples": ["3 %", -0.1]}),
]
Usd = Annotated[Decimal, _money(parse_usd), _quantity("20000 USD")]
UsdPerHour = Annotated[Decimal, _money(parse_usd_per_hour), _quantity("2.38 USD/h")]
UsdPerMonth = Annotated[Decimal, _money(parse_usd_per_month), _quantity("50 USD/month")]
UsdPerYear = Annotated[Decimal, _money(parse_usd_per_year), _quantity("135000 USD/year")]
UsdPerKwh = Annotated[Decimal, _money(parse_usd_per_kwh), _quantity("0.12 USD/kWh")]
UsdPerKwMonth = Annotated[Decimal, _money(parse_usd_per_kw_month), _quantity("217.30 USD/kW-month")]
Money = Annotated[str, AfterValidator(_checked)]
UsdPerGb = Annotated[Decimal, _money(parse_usd_per_gb), _quantity("0.087 USD/GB")]
# Its own schema: an editor must ask for the text, not for the parts of a price.
TokenRate = Annotated[
    TokenPrice,
    _money(parse_token_price),
    WithJsonSchema({"type": "string", "examples": ["10 USD/1M tokens"]}),
]


@cache
def _zones() -> set[str]:
    """Names of time zones, looked for on the disk once."""
    return available_timezones()


def known_time_zone(name: str) -> str:
    """The name, where there is such a time zone.

    Raises:
        ValueError: There is none.
    """
    if name not in _zones():
        raise ValueError("expected an IANA time zone such as America/Chicago, Europe/London or UTC")
    return name


TimeZone = Annotated[str, AfterValidator(known_time_zone)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
PositiveInt = Annotated[int, Field(gt=0, le=10**9)]
Tokens = Annotated[int, Field(ge=0, le=10**7)]
PositiveTokens = Annotated[int, Field(gt=0, le=10**7)]
PositiveFloat = Annotated[float, Field(gt=0, le=1e12)]
Factor = Annotated[float, Field(ge=0, le=1000)]


class Custom(Config):
    """Something of one's own, by the name that an entry point or `simulator.run` gives it."""

    kind: Literal["custom"]
    name: Name
    """Its name; `docs/extending.md` says what it must be."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Its keyword arguments."""
