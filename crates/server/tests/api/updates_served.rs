//! What is sent of update files at the same time, and how that is limited.

use crate::bench::{Bench, Who, on_both};
use crate::updates::{Signer, package, upload};
use axum::{
    body::Body,
    http::{Request, Response, StatusCode},
};
use futures_util::FutureExt;
use http_body_util::BodyExt;
use muster_server::listen::Peer;
use serde_json::{Value, json};
use tower::ServiceExt;

const SETTINGS: &str = "/1.0/system/updates";

async fn put(bench: &Bench, settings: &Value) -> (StatusCode, Value) {
    bench.ask(Who::Unix, "PUT", SETTINGS, settings.to_string()).await
}

async fn limits(bench: &Bench) -> (Value, Value) {
    let (_, answer) = bench.ask(Who::Unix, "GET", SETTINGS, "").await;
    let of = |name: &str| answer["metadata"][name].clone();
    (of("file_bytes_per_second"), of("file_downloads_at_once"))
}

/// The value of a metric.
async fn metric(bench: &Bench, name: &str) -> u64 {
    let (_, _, text) = bench.ask_bytes(Who::Unix, "GET", "/1.0/metrics", &[], "").await;
    let text = String::from_utf8(text.to_vec()).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("muster_{name} "))).unwrap();
    line.parse().unwrap()
}

async fn get(bench: &Bench, path: &str) -> Response<Body> {
    let request = Request::get(path).extension(Peer::Unix).body(Body::empty()).unwrap();
    bench.router.clone().oneshot(request).await.unwrap()
}

#[test]
fn limits_stay_where_a_client_does_not_know_them() {
    on_both(|bench: Bench| async move {
        assert_eq!(limits(&bench).await, (json!(0), json!(0)));
        let (_, answer) = bench.ask(Who::Unix, "GET", SETTINGS, "").await;
        let mut known = answer["metadata"].clone();
        for name in ["file_bytes_per_second", "file_downloads_at_once"] {
            known.as_object_mut().unwrap().remove(name);
        }
        let mut all = known.clone();
        (all["file_bytes_per_second"], all["file_downloads_at_once"]) = (json!(1_000_000), json!(3));
        assert_eq!(put(&bench, &all).await.0, StatusCode::OK);
        assert_eq!(limits(&bench).await, (json!(1_000_000), json!(3)));
        assert_eq!(put(&bench, &known).await.0, StatusCode::OK);
        assert_eq!(limits(&bench).await, (json!(1_000_000), json!(3)));
        all["file_bytes_per_second"] = json!(100);
        let (status, answer) = put(&bench, &all).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(answer["error"].as_str().unwrap().contains("\"updates.file_bytes_per_second\" 100"), "{answer}");
        (all["file_bytes_per_second"], all["file_downloads_at_once"]) = (json!(0), json!(0));
        assert_eq!(put(&bench, &all).await.0, StatusCode::OK);
        assert_eq!(limits(&bench).await, (json!(0), json!(0)));
    });
}

#[test]
fn a_download_beyond_the_number_is_answered_and_waits_for_its_turn() {
    on_both(|bench: Bench| async move {
        let signer = Signer::trusted_by(&bench).await;
        let content: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        let large = package("202511010000", &[("x86_64/large.raw.gz", content.clone())]);
        let path = format!("{}/files/x86_64/large.raw.gz", upload(&bench, signer.tar(&large)).await);
        let (_, answer) = bench.ask(Who::Unix, "GET", SETTINGS, "").await;
        let mut settings = answer["metadata"].clone();
        (settings["file_bytes_per_second"], settings["file_downloads_at_once"]) = (json!(100_000_000), json!(1));
        assert_eq!(put(&bench, &settings).await.0, StatusCode::OK);

        let mut first = get(&bench, &path).await;
        let piece = first.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(piece[..], content[..piece.len()]);
        let mut second = get(&bench, &path).await;
        assert_eq!(
            (second.status(), &second.headers()["content-length"]),
            (StatusCode::OK, &"3000000".parse().unwrap())
        );
        assert!(second.body_mut().frame().now_or_never().is_none(), "it waits");
        let counts =
            (metric(&bench, "update_downloads_sending").await, metric(&bench, "update_downloads_waiting").await);
        assert_eq!(counts, (1, 1));

        drop(first);
        assert_eq!(second.into_body().collect().await.unwrap().to_bytes(), content);
        let counts =
            (metric(&bench, "update_downloads_sending").await, metric(&bench, "update_downloads_waiting").await);
        assert_eq!(counts, (0, 0));
        assert!(metric(&bench, "update_bytes_served_total").await >= 3_000_000 + piece.len() as u64);

        // A limit that is lifted lets go whoever waits.
        let _first = get(&bench, &path).await;
        let mut second = get(&bench, &path).await;
        assert!(second.body_mut().frame().now_or_never().is_none(), "it waits");
        settings["file_downloads_at_once"] = json!(0);
        assert_eq!(put(&bench, &settings).await.0, StatusCode::OK);
        assert_eq!(second.into_body().collect().await.unwrap().to_bytes().len(), content.len());
    });
}
