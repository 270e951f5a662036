//! One connection: HTTP/1.1 or HTTP/2 over a stream whose peer is known.

use super::{Limits, Peer};
use axum::{Router, body::Body};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::{body::Incoming, service::Service};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use std::{
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Semaphore, watch},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

/// HTTP/2 pings go out this often while a stream is open, so that dead peers are noticed.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Largest HTTP/2 header list in bytes: two login cookies and a long query have room.
const HEADER_LIST: u32 = 64 * 1024;

/// What the connections of one listener share.
pub(super) struct Edge {
    pub app: Router,
    pub limits: Limits,
    /// One permit a connection.
    pub permits: Arc<Semaphore>,
    /// The tasks of the open connections.
    pub tasks: TaskTracker,
    /// Cancelled when the daemon stops: no new connections, open ones finish what they do.
    pub shutdown: CancellationToken,
}

impl Edge {
    pub fn new(app: Router, limits: Limits, shutdown: CancellationToken) -> Self {
        Self { app, limits, permits: Arc::new(Semaphore::new(limits.connections)), tasks: TaskTracker::new(), shutdown }
    }

    /// Serves requests of a stream until its end, until it is quiet for too long, or until the
    /// daemon stops and the drain time is over.
    pub async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        let (activity, watched) = watch::channel(Activity::default());
        let service = Requests { app: self.app.clone(), peer: peer.clone(), activity: Arc::new(activity) };
        let mut http = Builder::new(TokioExecutor::new());
        // hyper's own header timeout would also end idle connections; `quiet` tells them apart.
        http.http1().header_read_timeout(None);
        http.http2().timer(TokioTimer::new()).keep_alive_interval(PING_EVERY).max_header_list_size(HEADER_LIST);
        let mut connection = pin!(http.serve_connection_with_upgrades(TokioIo::new(stream), service));
        let grace = tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%peer, %error, "connection ended early");
                }
                return;
            }
            () = self.shutdown.cancelled() => self.limits.drain,
            grace = quiet(watched, self.limits) => grace,
        };
        connection.as_mut().graceful_shutdown();
        if timeout(grace, connection).await.is_err() {
            tracing::debug!(%peer, "connection cut off");
        }
    }
}

/// What a connection is busy with.
#[derive(Debug, Clone, Copy, Default)]
struct Activity {
    /// Requests whose response is not yet handed over completely.
    in_flight: usize,
    /// Whether there was a request at all.
    served: bool,
}

/// Returns when no request came in for too long, with the time left for closing.
///
/// Only a complete request header counts, so that bytes that trickle in buy no time.
async fn quiet(mut activity: watch::Receiver<Activity>, limits: Limits) -> Duration {
    loop {
        let now = *activity.borrow_and_update();
        let (patience, grace) = match now {
            Activity { in_flight: 1.., .. } => (None, Duration::ZERO),
            // A slow reader may still be taking the end of the last response.
            Activity { served: true, .. } => (Some(limits.idle), limits.idle),
            Activity { served: false, .. } => (Some(limits.first_request), Duration::ZERO),
        };
        let changed = match patience {
            None => activity.changed().await,
            Some(patience) => match timeout(patience, activity.changed()).await {
                Ok(changed) => changed,
                Err(_) => return grace,
            },
        };
        if changed.is_err() {
            // The service is gone: the connection itself is about to end.
            std::future::pending::<()>().await;
        }
    }
}

/// The service of one connection: the router, told who asks.
struct Requests {
    app: Router,
    peer: Peer,
    activity: Arc<watch::Sender<Activity>>,
}

impl Service<Request<Incoming>> for Requests {
    type Response = Response<Counted>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let in_flight = InFlight::start(&self.activity);
        request.extensions_mut().insert(self.peer.clone());
        let response = self.app.clone().oneshot(request);
        Box::pin(async move { Ok(response.await?.map(|body| Counted { body, _in_flight: in_flight })) })
    }
}

/// Counts a request until dropped.
struct InFlight(Arc<watch::Sender<Activity>>);

impl InFlight {
    fn start(activity: &Arc<watch::Sender<Activity>>) -> Self {
        activity.send_modify(|now| {
            now.in_flight += 1;
            now.served = true;
        });
        Self(activity.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.send_modify(|now| now.in_flight -= 1);
    }
}

/// A response body whose request is in flight until the body is done.
struct Counted {
    body: Body,
    _in_flight: InFlight,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
