"""Reads pages for tests as a browser would: elements with their attributes and text, tables as lists of cells."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "hr", "img", "input", "wbr", "path"}
CLOSED_BY = {
    "tr": {"td", "th", "tr"},
    "td": {"td", "th"},
    "th": {"td", "th"},
    "tbody": {"td", "th", "tr", "thead", "tbody"},
    "option": {"option"},
    "li": {"li"},
}
"""Which open elements the start of another one closes: these end tags may be left out."""


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    parent: "Element | None" = None
    children: list["Element | str"] = field(default_factory=list)

    @property
    def text(self):
        """Its text as it is read, without the titles of pictures."""
        parts = [child if isinstance(child, str) else child.text for child in self.children]
        return " ".join("".join(parts).split())

    def all(self, *tags):
        """Yield the elements below it in the order of the page, those of `tags` if there are any."""
        for child in self.children:
            if isinstance(child, Element):
                if not tags or child.tag in tags:
                    yield child
                yield from child.all(*tags)

    def get(self, name):
        return self.attributes.get(name)

    @property
    def classes(self):
        return (self.get("class") or "").split()


class Reader(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.root = self.open = Element("", {})

    def handle_starttag(self, tag, attrs):
        while self.open.tag in CLOSED_BY.get(tag, ()):
            self.open = self.open.parent
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, attrs)
        element = Element(tag, dict(attrs), self.open)
        self.open.children.append(element)
        if tag not in VOID:
            self.open = element

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open = self.open.parent

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        while self.open.tag != tag and self.open.tag in ("td", "th", "tr", "tbody", "li", "option"):
            self.open = self.open.parent
        assert self.open.tag == tag, f"</{tag}> closes <{self.open.tag}>"
        self.open = self.open.parent

    def handle_data(self, data):
        self.open.children.append(data)


def read_html(content):
    """Return the root of a page; an element that is not closed, or closed twice, fails."""
    reader = Reader()
    reader.feed(content.decode("utf-8"))
    reader.close()
    assert reader.open is reader.root, reader.open.tag
    return reader.root


def by_id(root, identity):
    (found,) = (element for element in root.all() if element.get("id") == identity)
    return found


def rows_of(table):
    """Return the texts of the cells of each row of a table's body."""
    (body,) = table.all("tbody")
    return [[cell.text for cell in row.all("td", "th")] for row in body.all("tr")]
