//! The bucket behind the hand-made server: what a request does to it, and what S3 would say. It compares no checksum and
//! knows no conditions.

use std::collections::{BTreeMap, BTreeSet};

use md5::{Digest as _, Md5};

use crate::odd_request::Seen;

/// An answer before it is put on the wire.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    pub(crate) fn error(status: u16, code: &str) -> Self {
        let body = format!("<Error><Code>{code}</Code><Message>an odd {code}</Message></Error>");
        Self::new(status, body).with("Content-Type", "application/xml")
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn with_etag(self, etag: &str) -> Self {
        self.with("ETag", format!("\"{etag}\""))
    }

    /// Encrypted like this, an object's ETag says nothing of its content.
    fn encrypted(self) -> Self {
        self.with("x-amz-server-side-encryption", "aws:kms")
    }

    /// The answer to a PUT whose body nobody has read yet.
    pub(crate) fn stored_unseen(seen: &Seen) -> Self {
        Self::new(200, "").with_etag(&opaque_tag(seen.key())).encrypted()
    }

    /// True when it tells a length that is not that of its body, as that to HEAD does.
    pub(crate) fn tells_length(&self) -> bool {
        self.headers.iter().any(|(name, _)| *name == "Content-Length")
    }
}

fn opaque_tag(key: &str) -> String {
    format!("tag-of-{key}")
}

/// Every `%XX` as its byte.
fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            _ => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8(bytes).expect("keys are text")
}

fn encoded(key: &str) -> String {
    key.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Objects and multipart uploads in memory.
#[derive(Default)]
pub(crate) struct Bucket {
    pub(crate) objects: BTreeMap<String, Vec<u8>>,
    etags: BTreeMap<String, String>,
    /// The time that uploads store with an object.
    times: BTreeMap<String, String>,
    /// Parts by upload.
    pub(crate) uploads: BTreeMap<String, BTreeMap<u32, Vec<u8>>>,
    begun: usize,
    /// ETags say nothing of the content.
    has_opaque_tags: bool,
}

impl Bucket {
    pub(crate) fn new(has_opaque_tags: bool) -> Self {
        Self {
            has_opaque_tags,
            ..Self::default()
        }
    }

    /// Does what `request` asks for.
    pub(crate) fn answer(&mut self, request: &Seen, body: Vec<u8>) -> Answer {
        let key = decoded(request.key());
        let key = key.as_str();
        let upload = request.parameter("uploadId");
        match (request.method.as_str(), key) {
            ("HEAD", "") => Answer::new(200, ""),
            ("GET", "") if request.parameter("uploads").is_some() => {
                Answer::new(200, "<ListMultipartUploadsResult/>")
            }
            ("GET", "") => self.list(request),
            ("GET", _) => self.read(request, key),
            ("PUT", _) => match (upload, request.header("x-amz-copy-source")) {
                (Some(upload), _) => self.put_part(request, upload, body),
                (None, Some(source)) => self.copy(&decoded(source), key),
                (None, None) => {
                    let time = request.header("x-amz-meta-mtime").unwrap_or_default();
                    self.times.insert(key.to_owned(), time.to_owned());
                    let etag = self.tag(key, || hex(&Md5::digest(&body)));
                    self.store(key, body, etag)
                }
            },
            ("POST", "") => self.delete_many(&body),
            ("POST", _) => match upload {
                Some(upload) => self.complete(key, upload, &body),
                None => self.begin(key),
            },
            ("DELETE", _) => {
                match upload {
                    Some(upload) => _ = self.uploads.remove(upload),
                    None => _ = self.objects.remove(key),
                }
                Answer::new(204, "")
            }
            ("HEAD", _) => self.look(key),
            _ => Answer::error(501, "NotImplemented"),
        }
    }

    fn tag(&self, key: &str, real: impl FnOnce() -> String) -> String {
        if self.has_opaque_tags {
            opaque_tag(key)
        } else {
            real()
        }
    }

    fn store(&mut self, key: &str, content: Vec<u8>, etag: String) -> Answer {
        let mut answer = Answer::new(200, "").with_etag(&etag);
        if self.has_opaque_tags {
            answer = answer.encrypted();
        }
        self.objects.insert(key.to_owned(), content);
        self.etags.insert(key.to_owned(), etag);
        answer
    }

    fn put_part(&mut self, request: &Seen, upload: &str, body: Vec<u8>) -> Answer {
        let etag = self.tag(request.key(), || hex(&Md5::digest(&body)));
        let number = request
            .parameter("partNumber")
            .and_then(|number| number.parse().ok());
        let (Some(parts), Some(number)) = (self.uploads.get_mut(upload), number) else {
            return Answer::error(404, "NoSuchUpload");
        };
        parts.insert(number, body);
        Answer::new(200, "").with_etag(&etag)
    }

    fn begin(&mut self, key: &str) -> Answer {
        self.begun += 1;
        let id = format!("upload-{}", self.begun);
        let body = format!(
            "<InitiateMultipartUploadResult><Key>{key}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
        );
        self.uploads.insert(id, BTreeMap::new());
        Answer::new(200, body)
    }

    /// Puts an object together of all parts, if they are the ones that are named.
    fn complete(&mut self, key: &str, upload: &str, body: &[u8]) -> Answer {
        let Some(parts) = self.uploads.get(upload) else {
            return Answer::error(404, "NoSuchUpload");
        };
        let text = String::from_utf8_lossy(body);
        let named = text.split("<PartNumber>").skip(1).filter_map(|rest| {
            let (number, _) = rest.split_once('<')?;
            number.parse::<u32>().ok()
        });
        if !named.eq(parts.keys().copied()) {
            return Answer::error(400, "InvalidPart");
        }
        let digests: Vec<u8> = parts
            .values()
            .flat_map(|part| Md5::digest(part).to_vec())
            .collect();
        let etag = self.tag(key, || format!("{}-{}", hex(&Md5::digest(&digests)), parts.len()));
        let content = parts.values().flatten().copied().collect();
        self.uploads.remove(upload);
        let answer = self.store(key, content, etag.clone());
        Answer {
            body: format!(
                "<CompleteMultipartUploadResult><Key>{key}</Key><ETag>&quot;{etag}&quot;</ETag></CompleteMultipartUploadResult>"
            )
            .into(),
            ..answer
        }
    }

    fn copy(&mut self, source: &str, key: &str) -> Answer {
        let source = source.trim_start_matches('/');
        let source = source.split_once('/').map_or(source, |(_, key)| key);
        let Some(content) = self.objects.get(source).cloned() else {
            return Answer::error(404, "NoSuchKey");
        };
        let etag = hex(&Md5::digest(&content));
        let answer = self.store(key, content, etag.clone());
        Answer {
            body: format!("<CopyObjectResult><ETag>&quot;{etag}&quot;</ETag></CopyObjectResult>").into(),
            ..answer
        }
    }

    fn delete_many(&mut self, body: &[u8]) -> Answer {
        let text = String::from_utf8_lossy(body).into_owned();
        let keys = text
            .split("<Key>")
            .skip(1)
            .filter_map(|rest| rest.split_once('<'));
        let mut said = String::new();
        for (key, _) in keys {
            self.objects.remove(key);
            said.push_str(&format!("<Deleted><Key>{key}</Key></Deleted>"));
        }
        Answer::new(200, format!("<DeleteResult>{said}</DeleteResult>"))
    }

    /// A page of keys, all of them encoded.
    fn list(&self, request: &Seen) -> Answer {
        let parameter = |name| decoded(request.parameter(name).unwrap_or_default());
        let (prefix, delimiter) = (parameter("prefix"), parameter("delimiter"));
        let after = parameter("start-after").max(parameter("continuation-token"));
        let most = parameter("max-keys").parse().unwrap_or(1_000);
        let (mut groups, mut said, mut last) = (BTreeSet::new(), String::new(), None);
        let mut found = self
            .objects
            .iter()
            .filter(|(key, _)| key.starts_with(&prefix) && **key > after)
            .peekable();
        let mut count = 0;
        while count < most
            && let Some((key, content)) = found.next()
        {
            let end = key[prefix.len()..].find('/').filter(|_| delimiter == "/");
            match end {
                Some(end) => _ = groups.insert(&key[..=prefix.len() + end]),
                None => {
                    said.push_str(&format!(
                        "<Contents><Key>{}</Key><Size>{}</Size><ETag>{}</ETag></Contents>",
                        encoded(key),
                        content.len(),
                        self.etags[key]
                    ));
                }
            }
            (count, last) = (count + 1, Some(key));
        }
        for group in groups {
            said.push_str(&format!(
                "<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>",
                encoded(group)
            ));
        }
        let is_truncated = found.peek().is_some();
        if let (true, Some(last)) = (is_truncated, last) {
            said.push_str(&format!("<NextContinuationToken>{last}</NextContinuationToken>"));
        }
        Answer::new(
            200,
            format!(
                "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>{is_truncated}</IsTruncated>{said}</ListBucketResult>"
            ),
        )
    }

    fn read(&self, request: &Seen, key: &str) -> Answer {
        let (Some(content), Some(etag)) = (self.objects.get(key), self.etags.get(key)) else {
            return Answer::error(404, "NoSuchKey");
        };
        let range = request.header("range").and_then(|range| {
            let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
            Some((first.parse::<usize>().ok()?, last.parse::<usize>().ok()?))
        });
        let Some((first, last)) = range else {
            return Answer::new(200, content.clone()).with_etag(etag);
        };
        let told = format!("bytes {first}-{last}/{}", content.len());
        Answer::new(206, &content[first..=last])
            .with_etag(etag)
            .with("Content-Range", told)
    }

    fn look(&self, key: &str) -> Answer {
        match (self.objects.get(key), self.etags.get(key)) {
            (Some(content), Some(etag)) => Answer::new(200, "")
                .with_etag(etag)
                .with("Content-Length", content.len().to_string())
                .with(
                    "x-amz-meta-mtime",
                    self.times.get(key).cloned().unwrap_or_default(),
                ),
            _ => Answer::new(404, ""),
        }
    }
}
