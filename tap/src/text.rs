//! Texts as the log may hold them.
//!
//! In: bytes. Out: the same with `%XX` for what a line must not hold raw; shorter; or what of a message is known.

use std::borrow::Cow;

/// What is written as it is.
const PLAIN: [bool; 256] = plain();

const fn plain() -> [bool; 256] {
    let mut table = [false; 256];
    let others = b"_-:./ ,;=+@()#*$&?!";
    let mut at = 0;
    while at < 256 {
        table[at] = (at as u8).is_ascii_alphanumeric();
        at += 1;
    }
    let mut index = 0;
    while index < others.len() {
        table[others[index] as usize] = true;
        index += 1;
    }
    table
}

pub fn safe(out: &mut Vec<u8>, text: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.reserve(text.len());
    for &byte in text {
        if PLAIN[byte as usize] {
            out.push(byte);
        } else {
            out.extend_from_slice(&[b'%', HEX[(byte >> 4) as usize], HEX[(byte & 15) as usize]]);
        }
    }
}

/// So many bytes of a text that was longer: not ending inside a character or an escape.
pub fn shortened(text: &[u8], bytes: usize) -> &[u8] {
    let mut end = bytes.min(text.len());
    let mut at = end;
    while at > 0 && (0x80..0xC0).contains(&text[at - 1]) {
        at -= 1;
    }
    if at > 0 && text[at - 1] >= 0xC0 {
        end = at - 1;
    }
    match text[..end].iter().rposition(|&byte| byte == b'\\') {
        Some(escape) => &text[..escape],
        None => &text[..end],
    }
}

/// `name=value`, the value cut.
pub fn worded(out: &mut Vec<u8>, name: &[u8], value: &[u8], bytes: usize) {
    out.extend_from_slice(name);
    out.push(b'=');
    safe(out, &value[..value.len().min(bytes)]);
}

/// What is held, with a piece behind it; nothing is held any more.
pub fn joined<'a>(held: &mut Vec<u8>, piece: &'a [u8]) -> Cow<'a, [u8]> {
    if held.is_empty() {
        return Cow::Borrowed(piece);
    }
    let mut all = std::mem::take(held);
    all.extend_from_slice(piece);
    Cow::Owned(all)
}

pub fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    let first = *part.first()?;
    let mut from = 0;
    while let Some(at) = text[from..].iter().position(|&byte| byte == first) {
        if text[from + at..].starts_with(part) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

pub fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || find(text, part).is_some()
}

pub fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | 9..=13)
}

pub fn trimmed(mut text: &[u8]) -> &[u8] {
    while text.first().map_or(false, |&byte| is_blank(byte)) {
        text = &text[1..];
    }
    while text.last().map_or(false, |&byte| is_blank(byte)) {
        text = &text[..text.len() - 1];
    }
    text
}

/// Where the first byte from `from` on is that is no blank.
pub fn filled(text: &[u8], from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    rest.iter().position(|&byte| !is_blank(byte)).map(|at| from + at)
}

/// Characters among bytes: all but those that go on with one.
pub fn characters(text: &[u8]) -> i64 {
    text.iter().filter(|&&byte| !(0x80..0xC0).contains(&byte)).count() as i64
}

/// Of a message the phrases that are looked for; 256 characters are looked at, whatever they are written with.
pub fn phrases(out: &mut Vec<u8>, text: &[u8], looked_for: &[Vec<u8>]) {
    let mut seen: Vec<u8> = Vec::with_capacity(256);
    let mut at = 0;
    while at < text.len() && seen.len() < 256 {
        let byte = text[at];
        if byte == b'\\' && at + 1 < text.len() {
            let is_unit = text[at + 1] == b'u' && at + 5 < text.len();
            if is_unit && text[at + 2..at + 6].iter().all(u8::is_ascii_hexdigit) {
                seen.push(1);
                at += 6;
                continue;
            }
            if !text[at + 1].is_ascii_alphanumeric() {
                seen.push(1);
                at += 2;
                continue;
            }
        }
        if byte >= 0xC0 {
            seen.push(1);
            at += 1;
            while at < text.len() && (0x80..0xC0).contains(&text[at]) {
                at += 1;
            }
            continue;
        }
        seen.push(byte.to_ascii_lowercase());
        at += 1;
    }
    let start = out.len();
    out.push(b'*');
    for phrase in looked_for {
        if let Some(begin) = phrase.strip_prefix(b"^") {
            if seen.starts_with(begin) {
                out.truncate(start);
                out.extend_from_slice(begin);
                out.push(b'*');
            }
        } else if contains(&seen, phrase) {
            out.extend_from_slice(phrase);
            out.push(b'*');
        }
    }
}

/// Where the first quote, backslash or control character is.
pub fn special(text: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & TOPS;
    let mut at = 0;
    while at + 8 <= text.len() {
        let mut eight = [0; 8];
        eight.copy_from_slice(&text[at..at + 8]);
        let word = u64::from_le_bytes(eight);
        let control = word.wrapping_sub(ONES * 0x20) & !word & TOPS;
        // The lowest mark is exact; those above it may be of a borrow.
        let marks = zero(word ^ (ONES * 0x22)) | zero(word ^ (ONES * 0x5C)) | control;
        if marks != 0 {
            return Some(at + (marks.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    let is_special = |&byte: &u8| byte == b'"' || byte == b'\\' || byte < 0x20;
    text[at..].iter().position(is_special).map(|found| at + found)
}
