//! What one client address may take, and what is kept for the gateway itself.

use tokio::net::{TcpSocket, TcpStream};

use super::*;

/// A socket of another client, which has another address of loopback.
async fn other(gateway: &Gateway) -> Raw {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    Raw::from(socket.connect(gateway.address).await.unwrap())
}

async fn upgrade(raw: &mut Raw) -> String {
    raw.write(upgrade_request("/").as_bytes()).await;
    raw.read_head().await
}

#[tokio::test]
async fn silent_sockets_of_one_address_keep_nobody_else_out() {
    let gateway = Gateway::with("echo")
        .server("connections = 2000\nhandshake_timeout = \"1h\"\naddress = { handshakes = 10 }")
        .start()
        .await;
    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.push(gateway.raw().await);
    }
    let crowded = "refusals_total{reason=\"address-handshakes\"}";
    // The order in which the shards see them is theirs: one of the eleven is too many.
    silent.push(gateway.raw().await);
    gateway.until_metric(crowded, 1).await;
    // Another address has its own.
    let mut late = other(&gateway).await;
    late.write(b"GET / HTTP/1.1\r\n").await;
    let mut last = other(&gateway).await;
    assert!(upgrade(&mut last).await.starts_with("HTTP/1.1 101 "));
    // A silent socket that leaves gives its place to the next.
    drop(silent);
    let next = async {
        while Client::try_connect(gateway.address, "/", &[])
            .await
            .is_err()
        {}
    };
    tokio::time::timeout(crate::PATIENCE, next).await.unwrap();
}

#[tokio::test]
async fn one_address_leaves_connections_for_others() {
    let gateway = Gateway::with("echo")
        .server("connections = 10")
        .start()
        .await;
    let mut ours = Vec::new();
    for _ in 0..9 {
        ours.push(gateway.connect("/").await);
    }
    let response = refused(&gateway, "/", &[]).await;
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "1");
    let crowded = "refusals_total{reason=\"address-connections\"}";
    assert_eq!(gateway.metric(crowded).await, 1);
    let mut theirs = other(&gateway).await;
    assert!(upgrade(&mut theirs).await.starts_with("HTTP/1.1 101 "));
    for client in &mut ours {
        assert_eq!(client.ask("still here").await, "still here");
    }
}

#[tokio::test]
async fn an_address_upgrades_at_its_rate() {
    let gateway = Gateway::with("upgrade")
        .server("address = { upgrades = \"1/s\" }")
        .start()
        .await;
    // Two seconds' worth at once.
    gateway.connect("/").await;
    let crowded = async {
        loop {
            match Client::try_connect(gateway.address, "/", &[]).await {
                Ok(_) => {}
                Err(Error::Http(response)) => return response.status().as_u16(),
                Err(error) => panic!("{error}"),
            }
        }
    };
    let status = tokio::time::timeout(crate::PATIENCE, crowded)
        .await
        .unwrap();
    assert_eq!(status, 429);
    assert!(
        gateway
            .metric("refusals_total{reason=\"address-upgrades\"}")
            .await
            >= 1
    );
    let mut theirs = other(&gateway).await;
    assert!(upgrade(&mut theirs).await.starts_with("HTTP/1.1 101 "));
    // The handler was not asked for those.
    let asked = gateway.metric("events_total{event=\"upgrade\"}").await;
    assert_eq!(asked, gateway.metric("events_total{event=\"open\"}").await);
}

#[tokio::test]
async fn an_ipv4_client_is_one_on_a_listener_for_both_families() {
    let gateway = Gateway::with("request")
        .listen("[::]:0")
        .server("connections = 10")
        .start()
        .await;
    let address = ([127, 0, 0, 1], gateway.address.port()).into();
    let mut client = Client::connect(address, "/").await;
    let told = client.recv().await;
    assert!(told.contains("\npeer 127.0.0.1:"), "{told}");
}

#[tokio::test]
async fn the_admin_side_answers_when_clients_have_all_other_descriptors() {
    let gateway = Gateway::with("echo")
        .within(&["prlimit", "--nofile=96:96"])
        .start()
        .await;
    gateway
        .until_log("\"connections\" in [server] is 100000")
        .await;
    let mut clients = Vec::new();
    while gateway
        .metric("refusals_total{reason=\"descriptors\"}")
        .await
        == 0
    {
        clients.push(TcpStream::connect(gateway.address).await.unwrap());
        assert!(clients.len() < 200, "{}", gateway.log());
    }
    assert_eq!(gateway.admin("GET", "/healthz").await.status, 200);
    assert_eq!(gateway.reload().await.status, 200);
    gateway.until_log("raise the limit of open files").await;
    drop(clients);
    let served = async {
        while Client::try_connect(gateway.address, "/", &[])
            .await
            .is_err()
        {}
    };
    tokio::time::timeout(crate::PATIENCE, served).await.unwrap();
}
