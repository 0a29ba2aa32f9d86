//! An open loop: requests come at times of their own, as people come to doors,
//! and wait for nobody's answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use rand::{SeedableRng, rngs::SmallRng};
use rand_distr::{Distribution, Exp};

use crate::{
    error::{Error, other},
    load::{Connection, Counted, Round, Shape, Target, cpu_between, join},
};

/// Sends what `request` makes so many times a second, at random moments, over
/// as many connections as the shape has.
pub(crate) async fn run(
    target: &Target,
    shape: Shape,
    per_second: f64,
    processes: &[u32],
    request: impl Fn() -> Request<Full<Bytes>> + Clone + Send + 'static,
) -> Result<Round, Error> {
    let mut random = SmallRng::seed_from_u64(7);
    let times = arrivals(per_second, shape.warm_up + shape.duration, &mut random)?;
    let start = Instant::now();
    let from = start + shape.warm_up;
    let until = from + shape.duration;
    let due: Arc<Vec<Instant>> = Arc::new(times.into_iter().map(|time| start + time).collect());
    let next = Arc::new(AtomicUsize::new(0));
    let mut loops = Vec::with_capacity(shape.connections);
    for _ in 0..shape.connections {
        let (target, request) = (target.clone(), request.clone());
        let (due, next) = (due.clone(), next.clone());
        loops.push(tokio::spawn(async move {
            serve(&target, from, &due, &next, request).await
        }));
    }
    let cpu = cpu_between(processes, from, until).await;
    Round::of(join(loops).await?, shape.duration, cpu)
}

/// When requests come, counted from the first moment: a Poisson process.
fn arrivals(
    per_second: f64,
    duration: Duration,
    random: &mut SmallRng,
) -> Result<Vec<Duration>, Error> {
    if !per_second.is_finite() || per_second <= 0.0 {
        return Err(other("a rate to be paced at must be above zero"));
    }
    let gaps = Exp::new(per_second).map_err(other)?;
    let end = duration.as_secs_f64();
    let (mut all, mut at) = (Vec::new(), 0.0);
    loop {
        at += gaps.sample(random);
        if at >= end {
            return Ok(all);
        }
        all.push(Duration::from_secs_f64(at));
    }
}

async fn serve(
    target: &Target,
    from: Instant,
    due: &[Instant],
    next: &AtomicUsize,
    request: impl Fn() -> Request<Full<Bytes>>,
) -> Result<Counted, Error> {
    let mut connection = Connection::dial(target).await?;
    let mut counted = Counted::new()?;
    while let Some(due) = due.get(next.fetch_add(1, Ordering::Relaxed)) {
        let request = request();
        connection.make_ready().await?;
        let started = begin(*due).await;
        let good = connection.ask(request).await?;
        if *due >= from {
            counted.add(good, started.elapsed());
        }
    }
    Ok(counted)
}

/// Waits for what is yet to come. What comes while all connections are taken
/// has been waiting since it was due.
async fn begin(due: Instant) -> Instant {
    if Instant::now() >= due {
        return due;
    }
    tokio::time::sleep_until(due.into()).await;
    // How late a timer fires is not the server's doing.
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(per_second: f64) -> Result<Vec<Duration>, Error> {
        let mut random = SmallRng::seed_from_u64(1);
        arrivals(per_second, Duration::from_secs(100), &mut random)
    }

    #[test]
    fn requests_come_at_the_rate_asked_for_and_in_order() {
        let all = drawn(200.0).expect("arrivals");
        let expected = 20_000.0_f64;
        assert!((all.len() as f64 - expected).abs() < 5.0 * expected.sqrt());
        assert!(all.is_sorted());
        assert!(
            all.last()
                .is_some_and(|last| *last < Duration::from_secs(100))
        );
    }

    #[test]
    fn gaps_vary_as_those_of_a_poisson_process_do() {
        let all = drawn(200.0).expect("arrivals");
        let gaps: Vec<f64> = all
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).as_secs_f64())
            .collect();
        let long = gaps.iter().filter(|gap| **gap > 1.0 / 200.0).count();
        // One in e is longer than the mean.
        let share = long as f64 / gaps.len() as f64;
        assert!((share - 0.368).abs() < 0.02, "{share}");
    }

    #[test]
    fn no_rate_is_no_pace() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(drawn(rate).is_err(), "{rate}");
        }
    }

    #[tokio::test]
    async fn what_is_late_has_waited_since_it_was_due() {
        let due = Instant::now() - Duration::from_secs(1);
        assert_eq!(begin(due).await, due);
    }
}
