//! What a backslash begins: characters, and the classes of Perl, POSIX and Unicode.

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

use super::RegexError;
use super::cursor::Cursor;

const INVALID: &str = "invalid escape sequence";
const INVALID_RANGE: &str = "invalid character class range";
const MAX_CHAR: u32 = 0x10_FFFF;

/// Names of general categories that Go knows. It wants them as they are spelt here.
const CATEGORIES: &str = " C Cc Cf Cn Co Cs L LC Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe \
Pf Pi Po Ps S Sc Sk Sm So Z Zl Zp Zs ";

/// Names of scripts that Go knows.
const SCRIPTS: &str = " Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum \
Bassa_Vah Batak Bengali Bhaiksuki Bopomofo Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian \
Caucasian_Albanian Chakma Cham Cherokee Chorasmian Common Coptic Cuneiform Cypriot Cypro_Minoan \
Cyrillic Deseret Devanagari Dives_Akuru Dogra Duployan Egyptian_Hieroglyphs Elbasan Elymaic Ethiopic \
Georgian Glagolitic Gothic Grantha Greek Gujarati Gunjala_Gondi Gurmukhi Han Hangul Hanifi_Rohingya \
Hanunoo Hatran Hebrew Hiragana Imperial_Aramaic Inherited Inscriptional_Pahlavi \
Inscriptional_Parthian Javanese Kaithi Kannada Katakana Kawi Kayah_Li Kharoshthi Khitan_Small_Script \
Khmer Khojki Khudawadi Lao Latin Lepcha Limbu Linear_A Linear_B Lisu Lycian Lydian Mahajani Makasar \
Malayalam Mandaic Manichaean Marchen Masaram_Gondi Medefaidrin Meetei_Mayek Mende_Kikakui \
Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mongolian Mro Multani Myanmar Nabataean Nag_Mundari \
Nandinagari New_Tai_Lue Newa Nko Nushu Nyiakeng_Puachue_Hmong Ogham Ol_Chiki Old_Hungarian Old_Italic \
Old_North_Arabian Old_Permic Old_Persian Old_Sogdian Old_South_Arabian Old_Turkic Old_Uyghur Oriya \
Osage Osmanya Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic \
Samaritan Saurashtra Sharada Shavian Siddham SignWriting Sinhala Sogdian Sora_Sompeng Soyombo \
Sundanese Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tamil Tangsa Tangut \
Telugu Thaana Thai Tibetan Tifinagh Tirhuta Toto Ugaritic Vai Vithkuqi Wancho Warang_Citi Yezidi Yi \
Zanabazar_Square ";

/// The class of these ranges. A surrogate, which Go allows here, matches nothing.
pub(super) fn class(ranges: &[(u32, u32)]) -> ClassUnicode {
    let range = |&(first, last): &(u32, u32)| {
        let first = char::from_u32(first).unwrap_or('\u{E000}');
        let last = char::from_u32(last).unwrap_or('\u{D7FF}');
        // A new range puts its ends in order, so what is empty must not get there.
        (first <= last).then(|| ClassUnicodeRange::new(first, last))
    };
    ClassUnicode::new(ranges.iter().filter_map(range))
}

fn ascii(ranges: &[(u8, u8)]) -> ClassUnicode {
    ClassUnicode::new(ranges.iter().map(|(a, b)| ClassUnicodeRange::new((*a).into(), (*b).into())))
}

/// A class that has a name. Where case does not count it is widened before it is negated.
#[derive(Debug)]
pub(super) struct Named {
    pub class: ClassUnicode,
    pub negated: bool,
}

/// `\d`, `\W` and their kin, by the letter.
pub(super) fn perl(letter: char) -> Option<Named> {
    let class = match letter.to_ascii_lowercase() {
        'd' => ascii(&[(b'0', b'9')]),
        's' => ascii(&[(b'\t', b'\n'), (0x0C, b'\r'), (b' ', b' ')]),
        'w' => ascii(&[(b'0', b'9'), (b'A', b'Z'), (b'_', b'_'), (b'a', b'z')]),
        _ => return None,
    };
    Some(Named { class, negated: letter.is_ascii_uppercase() })
}

/// `[:name:]`, if the cursor stands at one.
/// `sought` says whether `:]` may follow at all.
pub(super) fn posix(
    cursor: &mut Cursor<'_>,
    sought: &mut bool,
) -> Result<Option<Named>, RegexError> {
    let Some(rest) = cursor.rest().strip_prefix("[:").filter(|_| *sought) else { return Ok(None) };
    let Some((name, _)) = rest.split_once(":]") else {
        *sought = false;
        return Ok(None);
    };
    let start = cursor.at;
    cursor.at += name.len() + 4;
    let (negated, name) = name.strip_prefix('^').map_or((false, name), |name| (true, name));
    let class = match name {
        "alnum" => ascii(&[(b'0', b'9'), (b'A', b'Z'), (b'a', b'z')]),
        "alpha" => ascii(&[(b'A', b'Z'), (b'a', b'z')]),
        "ascii" => ascii(&[(0, 0x7F)]),
        "blank" => ascii(&[(b'\t', b'\t'), (b' ', b' ')]),
        "cntrl" => ascii(&[(0, 0x1F), (0x7F, 0x7F)]),
        "digit" => ascii(&[(b'0', b'9')]),
        "graph" => ascii(&[(b'!', b'~')]),
        "lower" => ascii(&[(b'a', b'z')]),
        "print" => ascii(&[(b' ', b'~')]),
        "punct" => ascii(&[(b'!', b'/'), (b':', b'@'), (b'[', b'`'), (b'{', b'~')]),
        "space" => ascii(&[(b'\t', b'\r'), (b' ', b' ')]),
        "upper" => ascii(&[(b'A', b'Z')]),
        "word" => ascii(&[(b'0', b'9'), (b'A', b'Z'), (b'_', b'_'), (b'a', b'z')]),
        "xdigit" => ascii(&[(b'0', b'9'), (b'A', b'F'), (b'a', b'f')]),
        _ => return Err(cursor.error(INVALID_RANGE, start)),
    };
    Ok(Some(Named { class, negated }))
}

/// `\pN`, `\p{Name}`, `\P{^Name}`, if the cursor stands at one.
pub(super) fn unicode(cursor: &mut Cursor<'_>) -> Result<Option<Named>, RegexError> {
    let start = cursor.at;
    let rest = cursor.rest();
    let mut negated = rest.starts_with(r"\P");
    if !negated && !rest.starts_with(r"\p") {
        return Ok(None);
    }
    cursor.at += 2;
    let first = cursor.next();
    let mut name = cursor.text.get(start + 2..cursor.at).unwrap_or("");
    if first == Some('{') {
        let Some((inner, _)) = cursor.rest().split_once('}') else {
            return Err(cursor.error_to_end(INVALID_RANGE, start));
        };
        name = inner;
        cursor.at += inner.len() + 1;
    }
    if let Some(inner) = name.strip_prefix('^') {
        name = inner;
        negated = !negated;
    }
    let class = table(name).ok_or_else(|| cursor.error(INVALID_RANGE, start))?;
    Ok(Some(Named { class, negated }))
}

fn table(name: &str) -> Option<ClassUnicode> {
    let listed = |names: &str| {
        !name.is_empty() && !name.contains(' ') && names.contains(&format!(" {name} "))
    };
    let query = match name {
        "Any" => return Some(class(&[(0, MAX_CHAR)])),
        // Surrogates do not occur in text.
        "Cs" => return Some(ClassUnicode::empty()),
        _ if listed(CATEGORIES) => format!(r"\p{{gc={name}}}"),
        _ if listed(SCRIPTS) => format!(r"\p{{sc={name}}}"),
        _ => return None,
    };
    match regex_syntax::parse(&query).ok()?.into_kind() {
        HirKind::Class(Class::Unicode(class)) => Some(class),
        HirKind::Literal(one) => {
            let c = std::str::from_utf8(&one.0).ok()?.chars().next()?;
            Some(class(&[(c.into(), c.into())]))
        }
        _ => None,
    }
}

/// The character that an escape stands for; may be a surrogate. The cursor stands at the backslash.
pub(super) fn character(cursor: &mut Cursor<'_>) -> Result<u32, RegexError> {
    let start = cursor.at;
    cursor.next();
    let Some(c) = cursor.next() else {
        return Err(super::cursor::syntax("trailing backslash at end of expression", ""));
    };
    let octal = |c: char| c.is_digit(8);
    let found = match c {
        '0' => Some(octals(cursor, 0)),
        '1'..='7' if cursor.peek().is_some_and(octal) => c.to_digit(8).map(|d| octals(cursor, d)),
        'x' => hex(cursor),
        'a' => Some(0x07),
        'f' => Some(0x0C),
        'n' => Some(0x0A),
        'r' => Some(0x0D),
        't' => Some(0x09),
        'v' => Some(0x0B),
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(c.into()),
        _ => None,
    };
    found.ok_or_else(|| cursor.error(INVALID, start))
}

/// Up to two more octal digits.
fn octals(cursor: &mut Cursor<'_>, first: u32) -> u32 {
    let mut value = first;
    for _ in 0..2 {
        let Some(digit) = cursor.peek().and_then(|c| c.to_digit(8)) else { break };
        cursor.next();
        value = value * 8 + digit;
    }
    value
}

/// Two digits, or any number of them in braces. On failure the cursor stands where Go gives up.
fn hex(cursor: &mut Cursor<'_>) -> Option<u32> {
    let first = cursor.next()?;
    if first != '{' {
        let second = cursor.next();
        return Some(first.to_digit(16)? * 16 + second?.to_digit(16)?);
    }
    let mut value = None;
    loop {
        let c = cursor.next()?;
        if c == '}' {
            return value;
        }
        let next = value.unwrap_or(0) * 16 + c.to_digit(16)?;
        value = (next <= MAX_CHAR).then_some(next);
        value?;
    }
}
