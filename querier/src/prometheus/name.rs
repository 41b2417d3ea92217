//! Label names in URL paths: `U__` escapes names that are not plain identifiers.

/// Undoes the escaping of values of the form `U__a_2e_b` (`a.b`); other names are returned as they are.
pub(super) fn unescape(name: &str) -> String {
    name.strip_prefix("U__").and_then(decode).unwrap_or_else(|| name.to_owned())
}

/// `__` is an underscore, `_<hex>_` a code point; `None` when the text breaks these rules.
fn decode(escaped: &str) -> Option<String> {
    let mut out = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(tail) = rest.strip_prefix('_') {
            out.push('_');
            rest = tail;
            continue;
        }
        let (hex, tail) = rest.split_once('_')?;
        if hex.is_empty() || hex.len() > 6 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        out.push(char::from_u32(u32::from_str_radix(hex, 16).ok()?)?);
        rest = tail;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names_are_read_and_others_left_alone() {
        let cases = [
            ("job", "job"),
            ("__name__", "__name__"),
            ("U__my_2e_label", "my.label"),
            ("U__a__b", "a_b"),
            ("U__service_2e_name_20_x", "service.name x"),
            ("U___1f600_", "😀"),
            ("U__broken_2e", "U__broken_2e"),
            ("U__bad_zz_", "U__bad_zz_"),
            ("U__big_110000_", "U__big_110000_"),
            ("U__", ""),
        ];
        for (escaped, want) in cases {
            assert_eq!(unescape(escaped), want, "{escaped}");
        }
    }
}
