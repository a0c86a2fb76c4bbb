"""What is known of every algorithm: cards with sources, eras, queries, comparisons, figures."""

from vitascope.catalogue.adding import add_card, card_from_answers, copy_card
from vitascope.catalogue.card import BenchmarkScore, Card, Fact
from vitascope.catalogue.compare import Comparison, compare_cards, view_card
from vitascope.catalogue.eras import ERAS, era_of, era_table
from vitascope.catalogue.founding_report import (
    load_statements,
    report_counts,
    report_selection,
    reported_speeds,
    statements_about,
)
from vitascope.catalogue.page import catalogue_page
from vitascope.catalogue.query import CardQuery, query_cards
from vitascope.catalogue.reading import find_card, load_cards, resolve_architecture

__all__ = [
    "ERAS",
    "BenchmarkScore",
    "Card",
    "CardQuery",
    "Comparison",
    "Fact",
    "add_card",
    "card_from_answers",
    "catalogue_page",
    "compare_cards",
    "copy_card",
    "era_of",
    "era_table",
    "find_card",
    "load_cards",
    "load_statements",
    "query_cards",
    "report_counts",
    "report_selection",
    "reported_speeds",
    "resolve_architecture",
    "statements_about",
    "view_card",
]
