"""Grafana's dashboard JSON, as much of it as the dashboards here need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

_SCHEMA = 39  # Grafana 11; later ones read it too.
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS = 24
_HEIGHT = 8
# What tells a target from another, and nothing else.
_OF_TARGETS = ("container", "endpoint", "instance", "job", "namespace", "pod", "service")
_AT_THE_END: Json = {"calcs": ["lastNotNull"], "fields": "", "values": False}


@dataclass(frozen=True)
class Query:
    """One PromQL expression of a panel, and what its series are called.

    Attributes:
        expr: The expression.
        legend: Names a series, with `{{label}}` for a label's value.
    """

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """A panel before it has a place.

    Attributes:
        kind: Grafana's name of its type.
        title: What it shows.
        queries: Its expressions.
        unit: Grafana's name of its unit, such as `percentunit` or `s`.
        width: Columns of 24.
        text: What the title does not say.
        bounds: The least and the most of its axis, where they are known.
        options: What its type takes.
        custom: How series are drawn.
        overrides: What is else for some series.
        transformations: What is done to what was found before it is shown.
    """

    kind: str
    title: str
    queries: Sequence[Query]
    unit: str
    width: int
    text: str = ""
    bounds: tuple[float | None, float | None] = (None, None)
    options: Json = field(default_factory=dict)
    custom: Json = field(default_factory=dict)
    overrides: Sequence[Json] = ()
    transformations: Sequence[Json] = ()


def lines(title: str, *queries: Query, unit: str = "short", width: int = 8, **more: Any) -> Panel:
    """Series over time."""
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": True}
    options = {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    custom = {"lineWidth": 2, "fillOpacity": 0, "showPoints": "never", "spanNulls": False}
    return Panel("timeseries", title, queries, unit, width, options=options, custom=custom, **more)


def band(title: str, low: str, value: str, high: str, *others: Query, unit: str = "percentunit", **more: Any) -> Panel:
    """An estimate over time with its interval as a band, and other series beside it."""
    queries = (Query(low, "low"), Query(value, "estimate"), Query(high, "high"), *others)
    edges = [
        _override("low", {"custom.lineWidth": 0, "custom.hideFrom": {"legend": True, "tooltip": False, "viz": False}}),
        _override(
            "high",
            {
                "custom.lineWidth": 0,
                "custom.fillBelowTo": "low",
                "custom.fillOpacity": 20,
                "custom.hideFrom": {"legend": True, "tooltip": False, "viz": False},
            },
        ),
    ]
    return lines(title, *queries, unit=unit, overrides=edges, **more)


def stat(title: str, *queries: Query, unit: str = "short", width: int = 4, **more: Any) -> Panel:
    """The latest values, large."""
    options = {"reduceOptions": _AT_THE_END, "colorMode": "none", "graphMode": "area", "textMode": "auto"}
    return Panel("stat", title, queries, unit, width, options=options, **more)


def bars(title: str, *queries: Query, unit: str = "short", width: int = 8, **more: Any) -> Panel:
    """The latest values as bars."""
    options = {"reduceOptions": _AT_THE_END, "orientation": "horizontal", "displayMode": "basic", "showUnfilled": True}
    return Panel("bargauge", title, queries, unit, width, options=options, **more)


def heat(title: str, expr: str, width: int = 8, **more: Any) -> Panel:
    """A histogram over time; the expression keeps the label `le`."""
    options = {
        "calculate": False,
        "yAxis": {"unit": "percentunit"},
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Blues"},
    }
    return Panel("heatmap", title, [Query(expr, "{{le}}")], "short", width, options=options, **more)


def table(title: str, expr: str, width: int = 8, **more: Any) -> Panel:
    """The labels of an expression's series now, without those of its target."""
    hidden = dict.fromkeys(("Time", "Value", "__name__", *_OF_TARGETS), True)
    organized = {"id": "organize", "options": {"excludeByName": hidden}}
    return Panel("table", title, [Query(expr, "")], "short", width, transformations=[organized], **more)


def variable(name: str, query: str) -> Json:
    """A variable whose values are a label's, as `label_values(metric, label)`; one at a time."""
    return {
        "type": "query",
        "name": name,
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": False,
        "includeAll": False,
    }


def dashboard(
    uid: str, title: str, rows: Sequence[tuple[str, Sequence[Panel]]], variables: Sequence[Json] = ()
) -> Json:
    """A dashboard.

    Args:
        uid: Names it in links, for ever.
        title: Its title.
        rows: Titles of rows and their panels, from left to right and on below.
        variables: What a user chooses, beside the data source.
    """
    source = {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus", "refresh": 1}
    siblings = {"type": "dashboards", "title": "w2s", "tags": ["w2s"], "asDropdown": True, "keepTime": True}
    return {
        "uid": uid,
        "title": title,
        "tags": ["w2s"],
        "schemaVersion": _SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "links": [siblings],
        "templating": {"list": [source, *variables]},
        "annotations": {"list": [_alerts()]},
        "panels": _place(rows),
    }


def _place(rows: Sequence[tuple[str, Sequence[Panel]]]) -> list[Json]:
    placed: list[Json] = []
    y = 0
    for title, panels in rows:
        at = {"x": 0, "y": y, "w": _COLUMNS, "h": 1}
        placed.append({"id": len(placed) + 1, "type": "row", "title": title, "collapsed": False, "gridPos": at})
        x, y = 0, y + 1
        for panel in panels:
            if x + panel.width > _COLUMNS:
                x, y = 0, y + _HEIGHT
            at = {"x": x, "y": y, "w": panel.width, "h": _HEIGHT}
            placed.append({"id": len(placed) + 1, "gridPos": at, **_panel(panel)})
            x += panel.width
        y += _HEIGHT
    return placed


def _panel(panel: Panel) -> Json:
    low, high = panel.bounds
    limits = {name: bound for name, bound in (("min", low), ("max", high)) if bound is not None}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": _SOURCE,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "custom": panel.custom, **limits},
            "overrides": list(panel.overrides),
        },
        "options": panel.options,
        "targets": [_target(panel.kind, index, query) for index, query in enumerate(panel.queries)],
        "transformations": list(panel.transformations),
    }


def _target(kind: str, index: int, query: Query) -> Json:
    now = kind in ("table", "bargauge")
    return {
        "refId": chr(ord("A") + index),
        "datasource": _SOURCE,
        "expr": query.expr,
        "legendFormat": query.legend,
        "instant": now,
        "range": not now,
        "format": {"table": "table", "heatmap": "heatmap"}.get(kind, "time_series"),
    }


def _override(series: str, properties: Json) -> Json:
    return {
        "matcher": {"id": "byName", "options": series},
        "properties": [{"id": name, "value": value} for name, value in properties.items()],
    }


def _alerts() -> Json:
    return {
        "name": "Alerts",
        "datasource": _SOURCE,
        "enable": True,
        "iconColor": "red",
        "expr": 'ALERTS{alertname=~"W2S.+", alertstate="firing"}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{severity}}",
        "step": "60s",
    }
