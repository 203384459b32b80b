"""What exists before the first order: addresses, products in stock, cards, and the carrier's depots."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Address:
    """Where a parcel goes; `country` is an ISO 3166 code of two letters."""

    street: str
    city: str
    postcode: str
    country: str


@attrs.frozen
class Product:
    """A product and how many units of it the warehouse begins with."""

    sku: str
    title: str
    units: int


@attrs.frozen
class Card:
    """A test card as payment providers hand them out; `funds` in euro cents, `refusal` what its bank answers instead.

    `answers_late`: its bank books the charge, but is so slow that the caller's time runs out.
    """

    token: str
    funds: int = 10_000_000
    refusal: str | None = attrs.field(default=None, kw_only=True)
    takes_refunds: bool = attrs.field(default=True, kw_only=True)
    answers_late: bool = attrs.field(default=False, kw_only=True)


@attrs.frozen
class Depot:
    """A country that the carrier serves, and how often it answers 503 to each parcel before it takes it."""

    country: str
    refusals: int = 0


STOCK = (
    Product("bag-roll-top", "Roll-top backpack, waxed canvas", 12),
    Product("bottle-steel", "Steel bottle, 750 ml", 60),
    Product("candle-cedar", "Cedar candle", 70),
    Product("coffee-guji", "Coffee beans, Guji, 1 kg", 80),
    Product("deskmat-felt", "Desk mat, wool felt", 40),
    Product("filter-100", "Paper filters, 100", 200),
    Product("grinder-hand", "Hand grinder", 14),
    Product("headphones", "Headphones, closed back", 9),
    Product("kettle", "Gooseneck kettle", 18),
    Product("keyboard-75", "Keyboard, 75 %", 7),
    Product("lamp-brass", "Brass desk lamp", 2),
    Product("mug-stone", "Stoneware mug", 120),
    Product("notebook-a5", "Notebook A5, dotted", 150),
    Product("pen-fountain", "Fountain pen, fine", 25),
    Product("print-harbour", "Print, Harbour at Dawn", 30),
    Product("scarf-lambswool", "Lambswool scarf", 0),
    Product("soap-olive", "Olive soap", 180),
    Product("socks-merino", "Merino socks", 90),
    Product("towel-linen", "Linen towel", 45),
)

CARDS = (
    Card("tok_visa"),
    Card("tok_visa_debit"),
    Card("tok_mastercard"),
    Card("tok_amex"),
    Card("tok_cartes_bancaires"),
    Card("tok_jcb"),
    Card("tok_insufficient_funds", 500),
    Card("tok_expired", refusal="expired"),
    Card("tok_stolen", refusal="reported stolen"),
    Card("tok_slow_bank", answers_late=True),
    Card("tok_prepaid_closed", takes_refunds=False),
)

# Ireland, Portugal and Finland are short of lorries; Iceland's depot is on strike.
_EUROPE = ("AT", "BE", "CH", "CZ", "DE", "DK", "ES", "FR", "GB", "IT", "NL", "NO", "PL", "SE")
_OVERSEAS = ("AU", "CA", "JP", "NZ", "US")
DEPOTS = (
    *map(Depot, _EUROPE),
    *map(Depot, _OVERSEAS),
    Depot("PT", 1),
    Depot("IE", 2),
    Depot("FI", 3),
    Depot("IS", 1_000_000),
)
