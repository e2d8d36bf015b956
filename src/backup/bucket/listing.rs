//! A store's list of objects, out of XML. It has no attributes that count, no comments and no entities of its own; what has
//! them, or ends early, is no list: an object that is overlooked is one that is taken for gone.

/// A part of a list.
#[derive(Debug, PartialEq)]
pub(super) struct Page {
    /// Keys and sizes.
    pub(super) objects: Vec<(String, u64)>,
    /// What to ask for the next part with, when there is one.
    pub(super) next: Option<String>,
}

/// So deep lies nothing in a list.
const DEPTH: usize = 16;

/// None when it is not a whole one.
pub(super) fn page(xml: &[u8]) -> Option<Page> {
    let xml = str::from_utf8(xml).ok()?;
    let mut rest = xml.trim_start_matches('\u{feff}').trim_start();
    if rest.starts_with("<?") {
        rest = rest.split_once("?>")?.1;
    }
    let (mut objects, mut truncated, mut token) = (Vec::new(), None, None);
    let (mut key, mut size) = (None, None);
    let mut path: Vec<&str> = Vec::new();
    loop {
        let (text, behind) = rest.split_once('<')?;
        let (tag, behind) = behind.split_once('>')?;
        rest = behind;
        let (opens, closes) = (!tag.starts_with('/'), tag.starts_with('/') || tag.ends_with('/'));
        if opens {
            let name = local(tag.trim_end_matches('/'))?;
            if path.len() == DEPTH || (path.is_empty() && (name != "ListBucketResult" || !text.trim().is_empty())) {
                return None;
            }
            path.push(name);
        }
        if !closes {
            continue;
        }
        // What is empty may be one tag.
        let text = if opens { "" } else { text };
        match path.as_slice() {
            [_, "IsTruncated"] => truncated = Some(text.trim().parse::<bool>().ok()?),
            [_, "NextContinuationToken"] => token = Some(unescaped(text)?),
            [_, "Contents", "Key"] => key = Some(unescaped(text)?),
            [_, "Contents", "Size"] => size = Some(text.trim().parse().ok()?),
            [_, "Contents"] => objects.push((key.take()?, size.take()?)),
            _ => {}
        }
        let name = path.pop()?;
        if !opens && local(&tag[1..])? != name {
            return None;
        }
        if path.is_empty() {
            break;
        }
    }
    let next = if truncated? { Some(token.filter(|token| !token.is_empty())?) } else { None };
    rest.trim().is_empty().then_some(Page { objects, next })
}

/// The name in a tag, without what stands before a colon; none when it is a comment or the like.
fn local(tag: &str) -> Option<&str> {
    let name = tag.split_ascii_whitespace().next()?;
    let name = name.split_once(':').map_or(name, |(_, name)| name);
    name.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_.".contains(&it)).then_some(name)
}

fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('&');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (entity, behind) = part.split_once(';')?;
        plain.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                let number = entity.strip_prefix('#')?;
                let hex = number.strip_prefix('x').map(|hex| u32::from_str_radix(hex, 16));
                char::from_u32(hex.unwrap_or_else(|| number.parse()).ok()?)?
            }
        });
        plain.push_str(behind);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

    fn list(inner: &str) -> String {
        format!(
            "{HEAD}<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{inner}</ListBucketResult>\n"
        )
    }

    #[test]
    fn a_whole_list_is_read() {
        let text = list(
            "<Name>backups</Name><Prefix/><KeyCount>2</KeyCount><IsTruncated>true</IsTruncated>
             <Contents><Key>a &amp; b/&#x4e2d;&#65;&lt;</Key><ETag>&quot;1&quot;</ETag><Size>7</Size><Owner><ID>x</ID></Owner></Contents>
             <Contents><Size> 0 </Size><Key>c</Key></Contents>
             <NextContinuationToken>1+/=&amp;</NextContinuationToken>",
        );
        let objects = vec![("a & b/中A<".to_owned(), 7), ("c".to_owned(), 0)];
        assert_eq!(page(text.as_bytes()), Some(Page { objects, next: Some("1+/=&".into()) }));
        // It ends early nowhere without that being seen.
        for end in 0..text.trim_end().len() {
            assert_eq!(page(&text.as_bytes()[..end]), None, "{end}");
        }
        let none = list("<s3:IsTruncated>false</s3:IsTruncated>");
        assert_eq!(page(none.as_bytes()), Some(Page { objects: Vec::new(), next: None }));
    }

    #[test]
    fn what_is_no_list_is_none() {
        let whole = "<IsTruncated>false</IsTruncated>";
        for inner in [
            "",
            "<Contents><Key>a</Key><Size>1</Size></Contents>",
            "<IsTruncated>true</IsTruncated>",
            "<IsTruncated>perhaps</IsTruncated>",
            &format!("{whole}<Contents><Key>a</Key></Contents>"),
            &format!("{whole}<Contents><Size>1</Size></Contents>"),
            &format!("{whole}<Contents><Key>a</Key><Size>-1</Size></Contents>"),
            &format!("{whole}<Contents><Key>&a;</Key><Size>1</Size></Contents>"),
            &format!("{whole}<Contents><Key>a</Size><Size>1</Key></Contents>"),
            &format!("{whole}<!-- <Contents> -->"),
            &format!("{whole}</ListBucketResult>"),
            &format!("{whole}{}", "<a>".repeat(1000)),
        ] {
            assert_eq!(page(list(inner).as_bytes()), None, "{inner}");
        }
        assert_eq!(page(format!("{HEAD}<html>{whole}</html>").as_bytes()), None);
        assert_eq!(page(format!("{}{whole}", list(whole)).as_bytes()), None);
        assert_eq!(page(b"</ListBucketResult>"), None);
    }
}
