//! One operations center: its calls, with errors in the words of the command line.

use crate::error::{Error, Result};
use http::{HeaderValue, Method, header};
use muster_clients::center::{BODY_LIMIT, Center, EventStream};
use muster_clients::machine::{self, AnswerBody, RequestBody};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// What stays as it is in a path segment or a query value.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b':');

/// A path below `/1.0`, its segments escaped.
#[derive(Debug, Clone)]
pub(crate) struct ApiPath {
    text: String,
    queried: bool,
}

impl ApiPath {
    /// From segments.
    pub(crate) fn of(segments: &[&str]) -> Self {
        let mut text = String::from("/1.0");
        for segment in segments {
            text.push('/');
            text.extend(utf8_percent_encode(segment, KEPT));
        }
        Self { text, queried: false }
    }

    /// In the API of IncusOS: of a server, or of the system that the center runs on.
    pub(crate) fn os(server: Option<&str>, segments: &[&str]) -> Self {
        let base = match server {
            Some(server) => Self::of(&["provisioning", "servers", server, "os", "1.0"]),
            None => Self { text: "/os/1.0".into(), queried: false },
        };
        segments.iter().fold(base, |path, segment| path.below(segment))
    }

    /// With one more segment; before any query parameter.
    pub(crate) fn below(mut self, segment: &str) -> Self {
        self.text.push('/');
        self.text.extend(utf8_percent_encode(segment, KEPT));
        self
    }

    /// With a query parameter.
    pub(crate) fn query(mut self, key: &str, value: &str) -> Self {
        self.text.push(if self.queried { '&' } else { '?' });
        self.queried = true;
        self.text.push_str(key);
        self.text.push('=');
        self.text.extend(utf8_percent_encode(value, KEPT));
        self
    }

    /// With a query parameter, if there is something to say.
    pub(crate) fn maybe(self, key: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) if !value.is_empty() => self.query(key, value),
            _ => self,
        }
    }

    /// With `key=true`, if set.
    pub(crate) fn flag(self, key: &str, set: bool) -> Self {
        if set { self.query(key, "true") } else { self }
    }

    /// The objects of a collection instead of their URLs.
    pub(crate) fn recursive(self) -> Self {
        self.query("recursion", "1")
    }

    /// As it goes over the wire.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

/// A successful answer.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The payload.
    pub(crate) metadata: Value,
    /// Entity tag, for `If-Match`.
    pub(crate) etag: Option<String>,
    /// Last segment of the created object's path.
    pub(crate) created: Option<String>,
    /// Id of the operation that goes on behind it.
    pub(crate) operation: Option<String>,
}

/// A connection to one operations center.
#[derive(Debug)]
pub(crate) struct Remote(Center);

impl Remote {
    /// Over this client.
    pub(crate) fn new(center: Center) -> Self {
        Self(center)
    }

    /// The payload of a GET.
    pub(crate) async fn get(&self, path: &ApiPath) -> Result<Value> {
        Ok(self.fetch(path).await?.metadata)
    }

    /// A GET with its entity tag.
    pub(crate) async fn fetch(&self, path: &ApiPath) -> Result<Reply> {
        self.send(Method::GET, path, None, None).await
    }

    /// POST; a body of `None` sends none.
    pub(crate) async fn post(&self, path: &ApiPath, body: Option<&Value>) -> Result<Reply> {
        self.send(Method::POST, path, body, None).await
    }

    /// PUT, guarded by the entity tag if there is one.
    pub(crate) async fn put(&self, path: &ApiPath, body: &Value, etag: Option<&str>) -> Result<Reply> {
        self.send(Method::PUT, path, Some(body), etag).await
    }

    /// DELETE.
    pub(crate) async fn delete(&self, path: &ApiPath) -> Result<Reply> {
        self.send(Method::DELETE, path, None, None).await
    }

    async fn send(&self, method: Method, path: &ApiPath, body: Option<&Value>, etag: Option<&str>) -> Result<Reply> {
        let mut headers = Vec::new();
        if let Some(etag) = etag {
            let value = HeaderValue::from_str(etag).map_err(|e| Error::Failed(format!("unusable entity tag: {e}")))?;
            headers.push((header::IF_MATCH, value));
        }
        reply(self.0.call_with(method, path.as_str(), body, &headers).await?)
    }

    /// Any request below `/1.0`, with the whole answer as text.
    pub(crate) async fn raw(&self, method: Method, path: &str, body: Option<String>) -> Result<String> {
        let sent = body.map_or_else(muster_clients::machine::empty, muster_clients::machine::full);
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(sent)
            .map_err(|e| Error::Usage(format!("not a valid request: {e}")))?;
        let answer = self.0.download(request).await?;
        let body = muster_clients::call::read_body(answer.into_body(), BODY_LIMIT).await;
        let body =
            body.map_err(|e| Error::Unreachable { address: self.0.address().to_owned(), cause: e.to_string() })?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// A call with a JSON body or none, whose answer is not an envelope.
    pub(crate) async fn bytes(&self, path: &ApiPath, body: Option<&Value>) -> Result<AnswerBody> {
        let sent = body.map_or_else(machine::empty, |body| machine::full(body.to_string()));
        Ok(self.0.download(request(path, "application/json", sent)?).await?.into_body())
    }

    /// A GET whose answer is a file.
    pub(crate) async fn file(&self, path: &ApiPath) -> Result<AnswerBody> {
        let request = http::Request::builder().uri(path.as_str()).body(machine::empty());
        let request = request.map_err(|e| Error::Usage(format!("not a valid request: {e}")))?;
        Ok(self.0.download(request).await?.into_body())
    }

    /// A call whose body is not JSON, and which is sent whole.
    pub(crate) async fn send_whole(&self, path: &ApiPath, body: Vec<u8>) -> Result<Value> {
        Ok(self.send_bytes(path, machine::full(body)).await?.metadata)
    }

    /// A part of a file, of the one with this entity tag where one is given. A center that has no parts answers all of it.
    pub(crate) async fn part(&self, path: &str, range: &str, tag: Option<&str>) -> Result<http::Response<AnswerBody>> {
        let mut request = http::Request::builder().uri(path).header(header::RANGE, range);
        if let Some(tag) = tag {
            request = request.header(header::IF_RANGE, tag);
        }
        let request = request.body(machine::empty());
        Ok(self.0.download(request.map_err(|e| Error::Failed(format!("not a valid request: {e}")))?).await?)
    }

    /// A call whose body is not JSON.
    pub(crate) async fn send_bytes(&self, path: &ApiPath, body: RequestBody) -> Result<Reply> {
        reply(self.0.call_request(request(path, "application/octet-stream", body)?).await?)
    }

    /// The event stream.
    pub(crate) async fn events(&self, path: &ApiPath) -> Result<EventStream> {
        Ok(self.0.events(path.as_str()).await?)
    }

    /// Where it is.
    pub(crate) fn address(&self) -> &str {
        self.0.address()
    }
}

fn reply(reply: muster_clients::center::Reply) -> Result<Reply> {
    let created = reply.location().map(|path| last_segment(&path).to_owned());
    let named = reply.headers.get("muster-operation").and_then(|id| id.to_str().ok());
    let operation = Some(named.unwrap_or_else(|| last_segment(&reply.operation))).filter(|id| !id.is_empty());
    let (operation, etag) = (operation.map(str::to_owned), reply.etag().map(str::to_owned));
    Ok(Reply { metadata: reply.decode()?, etag, created, operation })
}

fn request(path: &ApiPath, kind: &'static str, body: RequestBody) -> Result<http::Request<RequestBody>> {
    let request = http::Request::builder().method(Method::POST).uri(path.as_str()).header(header::CONTENT_TYPE, kind);
    request.body(body).map_err(|e| Error::Usage(format!("not a valid request: {e}")))
}

/// What an URL names.
fn last_segment(url: &str) -> &str {
    url.rsplit_once('/').map_or(url, |(_, last)| last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_escaped() {
        let path = ApiPath::of(&["provisioning", "servers", "a/b ü"]).recursive().query("filter", "name == \"m1\"");
        assert_eq!(
            path.as_str(),
            "/1.0/provisioning/servers/a%2Fb%20%C3%BC?recursion=1&filter=name%20%3D%3D%20%22m1%22"
        );
        let path = ApiPath::of(&["provisioning", "servers", "m1", "system", ":reboot"]);
        assert_eq!(path.clone().flag("force", false).as_str(), "/1.0/provisioning/servers/m1/system/:reboot");
        assert_eq!(
            path.flag("force", true).maybe("x", Some("")).as_str(),
            "/1.0/provisioning/servers/m1/system/:reboot?force=true"
        );
    }
}
