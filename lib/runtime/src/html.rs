//! What the pages for operators have in common. They load nothing.

/// The beginning of a page, up to its body; tables, and `class=bad` for what wants attention.
pub fn head(title: &str) -> String {
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>{}</title>\
<style>body{{font:15px system-ui,sans-serif;margin:2em;color:#222;background:#fff}}\
table{{border-collapse:collapse;margin:.5em 0 2em}}td,th{{padding:.3em .8em;border:1px solid #ccc;text-align:left}}\
.bad{{background:#fde8e8}}@media(prefers-color-scheme:dark){{body{{color:#ddd;background:#181818}}\
td,th{{border-color:#444}}.bad{{background:#502020}}}}</style>",
        escaped(title)
    )
}

/// `text` as text of a page or a quoted attribute.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
