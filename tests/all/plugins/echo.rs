//! The plugin `echo`.

use crate::gateway::Gateway;

#[tokio::test]
async fn echoes_text_and_binary() {
    let gateway = Gateway::with("echo").start().await;
    let mut client = gateway.connect("/").await;
    assert_eq!(client.ask("hello").await, "hello");
    client.send_binary(&[0, 1, 255]).await;
    assert_eq!(client.recv_binary().await, [0, 1, 255]);
    assert_eq!(client.close(1000, "bye").await, Some(1000));
}

#[tokio::test]
async fn goes_on_echoing_on_the_next_generation() {
    let gateway = Gateway::with("echo").start().await;
    let mut client = gateway.connect("/").await;
    assert_eq!(client.ask("before").await, "before");
    assert_eq!(gateway.reload().await.json()["generation"], 2);
    assert_eq!(client.ask("after").await, "after");
}
