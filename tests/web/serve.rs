//! axum serves, hyper asks.

use crate::{SERVER, hosts, run};
use axum::Router;
use axum::body::Bytes as AxumBytes;
use axum::extract::Path;
use axum::routing::{get, post};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tunstack::aio::{TcpListener, TcpStream};
use tunstack::net::Host;

/// What is served. `begun` is told when the slow page is asked for.
fn router(begun: Arc<Notify>) -> Router {
    Router::new()
        .route("/", get(|| async { "a page" }))
        .route("/hello/{name}", get(|Path(name): Path<String>| async move { format!("hello, {name}") }))
        .route("/echo", post(|body: AxumBytes| async move { body }))
        .route(
            "/slow",
            get(|| async move {
                begun.notify_one();
                tokio::time::sleep(Duration::from_millis(50)).await;
                "at last"
            }),
        )
}

/// A hyper client on a connection of `host`.
async fn client(host: &Host) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect_on(host, (SERVER, 80)).await.unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn ask(sender: &mut SendRequest<Full<Bytes>>, path: &str, body: Option<Bytes>) -> (StatusCode, Bytes) {
    let method = if body.is_some() { "POST" } else { "GET" };
    let request = Request::builder().method(method).uri(path).header("host", SERVER);
    sender.ready().await.unwrap();
    let answer = sender.send_request(request.body(Full::new(body.unwrap_or_default())).unwrap()).await.unwrap();
    let status = answer.status();
    (status, answer.into_body().collect().await.unwrap().to_bytes())
}

#[test]
fn axum_serves_a_hyper_client_and_ends_gracefully() {
    for threads in [1, 2] {
        run(threads, async {
            let (near, far) = hosts();
            let listener = TcpListener::bind_on(&far, (SERVER, 80)).await.unwrap();
            let (stop, stopped) = oneshot::channel::<()>();
            let begun = Arc::new(Notify::new());
            let routes = router(begun.clone());
            let serving = tokio::spawn(async move {
                let stopped = async { stopped.await.unwrap() };
                axum::serve(listener, routes).with_graceful_shutdown(stopped).await.unwrap();
            });
            let mut sender = client(&near).await;
            assert_eq!(ask(&mut sender, "/", None).await, (StatusCode::OK, Bytes::from("a page")));
            assert_eq!(ask(&mut sender, "/hello/ann", None).await.1, "hello, ann");
            assert_eq!(ask(&mut sender, "/nothing", None).await.0, StatusCode::NOT_FOUND);
            let large: Bytes = (0..1_500_000u32).map(|i| (i ^ (i >> 7)) as u8).collect();
            assert_eq!(ask(&mut sender, "/echo", Some(large.clone())).await.1, large);

            // 50 at once, with 20 requests each.
            let clients: Vec<_> = (0..50)
                .map(|n| {
                    let near = near.clone();
                    tokio::spawn(async move {
                        let mut sender = client(&near).await;
                        for round in 0..20 {
                            let (status, body) = ask(&mut sender, &format!("/hello/{n}-{round}"), None).await;
                            assert_eq!((status, body), (StatusCode::OK, format!("hello, {n}-{round}").into()));
                        }
                    })
                })
                .collect();
            for client in clients {
                client.await.unwrap();
            }
            // A request that is under way is answered before the end.
            let mut slow = client(&near).await;
            ask(&mut slow, "/", None).await;
            let last = tokio::spawn(async move { ask(&mut slow, "/slow", None).await });
            begun.notified().await;
            stop.send(()).unwrap();
            assert_eq!(last.await.unwrap().1, "at last");
            drop(sender);
            serving.await.unwrap();
        });
    }
}
