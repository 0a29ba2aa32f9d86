//! What stands before replicas: a new connection goes to one that is in
//! rotation, in turn; those that exist stay where they are.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

pub(crate) struct Balancer {
    in_rotation: Arc<[AtomicBool; 2]>,
    task: JoinHandle<()>,
}

impl Balancer {
    /// With neither replica in rotation.
    pub(crate) async fn start(front: SocketAddr, replicas: [SocketAddr; 2]) -> Self {
        let listener = TcpListener::bind(front).await.expect("the front's address");
        let in_rotation = Arc::new([false, false].map(AtomicBool::new));
        let task = tokio::spawn(balance(listener, replicas, in_rotation.clone()));
        Self { in_rotation, task }
    }

    pub(crate) fn set(&self, replica: usize, in_rotation: bool) {
        self.in_rotation[replica].store(in_rotation, Ordering::Relaxed);
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn balance(
    listener: TcpListener,
    replicas: [SocketAddr; 2],
    in_rotation: Arc<[AtomicBool; 2]>,
) {
    for turn in 0_usize.. {
        let Ok((mut near, _)) = listener.accept().await else {
            continue;
        };
        let at = [turn % 2, (turn + 1) % 2]
            .into_iter()
            .find(|at| in_rotation[*at].load(Ordering::Relaxed));
        let Some(at) = at else {
            continue;
        };
        let Ok(mut far) = TcpStream::connect(replicas[at]).await else {
            continue;
        };
        tokio::spawn(async move {
            let _ = copy_bidirectional(&mut near, &mut far).await;
        });
    }
}
