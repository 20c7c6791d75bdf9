//! The little JSON that a trace file needs: written only, one object a line, keys in the order in which they are put.

use std::fmt::Write;

/// An object being written.
pub struct Object {
    text: String,
}

impl Object {
    /// An empty one.
    pub fn new() -> Self {
        Object { text: "{".into() }
    }

    /// The name of what is put next.
    fn key(&mut self, key: &str) {
        if self.text.len() > 1 {
            self.text.push(',');
        }
        quote(key, &mut self.text);
        self.text.push(':');
    }

    /// Put a number.
    pub fn number(&mut self, key: &str, number: u64) -> &mut Self {
        self.key(key);
        let _ = write!(self.text, "{number}");
        self
    }

    /// Put words.
    pub fn text(&mut self, key: &str, text: &str) -> &mut Self {
        self.key(key);
        quote(text, &mut self.text);
        self
    }

    /// Put yes, no, or nothing, or anything that is JSON already.
    pub fn raw(&mut self, key: &str, json: &str) -> &mut Self {
        self.key(key);
        self.text.push_str(json);
        self
    }

    /// The whole.
    pub fn end(mut self) -> String {
        self.text.push('}');
        self.text
    }
}

/// An array of what is JSON already.
pub fn array(items: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", items.into_iter().collect::<Vec<_>>().join(","))
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => {
                // Control characters are all below U+10000: four digits do.
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_order_and_strings_are_escaped() {
        let mut object = Object::new();
        object.text("b", "say \"é→\\\n\"").number("a", u64::MAX).raw("c", &array(["1".into(), "[2]".into()]));
        let expected = r#"{"b":"say \"é→\\\u000a\"","a":18446744073709551615,"c":[1,[2]]}"#;
        assert_eq!(object.end(), expected);
        assert_eq!(Object::new().end(), "{}");
    }
}
