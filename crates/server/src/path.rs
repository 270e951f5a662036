//! What the router cannot say by itself: unknown paths, wrong methods, unclean paths (`updates-and-system.md` 1.2).

use axum::{
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

/// Plain 404, as the reference's router writes it.
pub async fn not_found() -> Response {
    plain(StatusCode::NOT_FOUND, "404 page not found\n")
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut response = (status, text).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Gives a bare 405 its text and a sorted `Allow`.
pub async fn method_not_allowed(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return response;
    }
    let allow = response.headers().get(header::ALLOW).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let mut methods: Vec<&str> = allow.split(',').map(str::trim).filter(|m| !m.is_empty()).collect();
    methods.sort_unstable();
    let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n");
    if let Ok(value) = HeaderValue::from_str(&methods.join(", ")) {
        answer.headers_mut().insert(header::ALLOW, value);
    }
    answer
}

/// Sends callers with `//`, `.` or `..` in the path to the clean one, before anything else looks at the request.
pub async fn clean(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let Some(clean) = cleaned(path) else { return next.run(request).await };
    if request.method() == Method::CONNECT {
        return next.run(request).await;
    }
    let target = match request.uri().query() {
        Some(query) => format!("{clean}?{query}"),
        None => clean,
    };
    redirect(StatusCode::TEMPORARY_REDIRECT, &target)
}

/// A redirect in the reference's words.
pub fn redirect(status: StatusCode, target: &str) -> Response {
    let escaped = target.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;");
    let text = status.canonical_reason().unwrap_or_default();
    let mut response = (status, format!("<a href=\"{escaped}\">{text}</a>.\n\n")).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    if let Ok(value) = HeaderValue::from_str(target) {
        headers.insert(header::LOCATION, value);
    }
    response
}

/// The clean path, or none when it is clean already. Works on the undecoded text: `%2F` and `%2e` stay in their segment.
fn cleaned(path: &str) -> Option<String> {
    let unclean =
        path.split('/').skip(1).enumerate().any(|(i, s)| s == "." || s == ".." || (s.is_empty() && !is_last(path, i)));
    if !unclean {
        return None;
    }
    let mut out: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                out.pop();
            }
            s => out.push(s),
        }
    }
    let mut clean = format!("/{}", out.join("/"));
    if path.ends_with('/') && clean != "/" {
        clean.push('/');
    }
    Some(clean)
}

fn is_last(path: &str, index: usize) -> bool {
    index + 2 == path.split('/').count()
}

#[cfg(test)]
mod tests {
    use super::cleaned;

    #[test]
    fn unclean_paths_have_one_clean_form() {
        for (path, want) in [
            ("/1.0//warnings", Some("/1.0/warnings")),
            ("/1.0/x/../warnings", Some("/1.0/warnings")),
            ("/../../etc", Some("/etc")),
            ("/a/./b/", Some("/a/b/")),
            ("//", Some("/")),
            ("/1.0/a%2F..%2Fb", None),
            ("/1.0/", None),
            ("/", None),
        ] {
            assert_eq!(cleaned(path).as_deref(), want, "{path}");
        }
    }
}
