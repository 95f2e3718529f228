//! The simulator's page in the browser, and the sequence diagram that other pages may use.

/// The style of the sequence diagram, with the colours of the actors.
pub const DIAGRAM_CSS: &str = include_str!("page/diagram.css");

/// The script of the sequence diagram: the function `drawWire` and its helpers. It needs [`DIAGRAM_CSS`].
pub const DIAGRAM_JS: &str = include_str!("page/diagram.js");

/// The whole page, for [`Builder::page`](crate::server::Builder::page).
pub const HTML: &str = concat!(
    include_str!("page/page.html"),
    "<style>\n",
    include_str!("page/diagram.css"),
    include_str!("page/page.css"),
    "</style>\n<script>\n",
    include_str!("page/diagram.js"),
    "</script>\n<script>\n",
    include_str!("page/page.js"),
    "</script>\n",
);
