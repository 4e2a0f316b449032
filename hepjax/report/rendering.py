"""The jinja2 templates of the page, with all values escaped where they are put in."""

from __future__ import annotations

import base64
import functools
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from hepjax.errors import InputError
from hepjax.report import charts, number_text, page_tables
from hepjax.report.labels import class_label
from hepjax.report.style import legible_color, line_color

if TYPE_CHECKING:
    from jinja2 import Environment

_FUNCTIONS = (
    *(
        charts.horizontal_place,
        charts.svg_line_style,
        charts.minor_axis_ticks,
        charts.svg_path,
        charts.chart_points,
        charts.chart_readings,
        charts.axis_ticks,
    ),
    *(
        charts.vertical_place,
        page_tables.uncertainty_note,
        page_tables.table_mean_auc,
        page_tables.merit_columns,
        page_tables.merit_note,
    ),
    *(
        page_tables.table_quantity,
        page_tables.working_point_goal,
        number_text.find_nested_value,
        number_text.is_interval,
        number_text.number_text,
        number_text.interval_text,
    ),
    *(class_label, line_color, legible_color, zip),
)
"""Functions that templates may call, beside `image_attributes`."""
_PNG = b"\x89PNG\r\n\x1a\n"


class Picture(NamedTuple):
    """A picture for the page."""

    png: bytes
    caption: str
    alt: str
    """Text for readers who cannot see the picture."""
    wide: bool = False
    """Whether it has many panels, and takes the whole width."""


def render_template(template: str, **values: Any) -> str:
    """Returns a template with values put in.

    Args:
      template: the name of a file in `hepjax/report/templates`.
      values: the values by the names that the template uses. Text is escaped, so that it cannot become an element, an
        attribute or a script; only `markupsafe.Markup` is not.

    Returns:
      The text.

    >>> section = {"words": "x < y", "charts": (), "pictures": (), "tables": ()}
    >>> render_template("section.html.jinja", section=section).strip()
    '<p>x &lt; y</p>'
    """
    return template_environment().get_template(template).render(values)


def image_attributes(picture: Picture) -> dict[str, Any]:
    """Returns the attributes of an image that holds its picture.

    Args:
      picture: a picture for the page.

    Returns:
      The attributes.

    Raises:
      InputError: the picture is no PNG.
    """
    if picture.png[:8] != _PNG or len(picture.png) < 24:
        raise InputError(f"picture {picture.caption!r}: expected the bytes of a PNG file, found {picture.png[:8]!r}")
    width, height = struct.unpack(">II", picture.png[16:24])
    text = base64.b64encode(picture.png).decode("ascii")
    return {"src": f"data:image/png;base64,{text}", "width": width, "height": height}


@functools.cache
def template_environment() -> Environment:
    """Returns the environment of the templates: one for a process, because it holds them compiled."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("hepjax.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.globals |= {function.__name__: function for function in (*_FUNCTIONS, image_attributes)}
    templates.tests["finite"] = number_text.is_number
    templates.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return templates
