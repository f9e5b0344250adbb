//! The window before simulated servers: near and far, limited, refusing, stormy.

use super::*;

/// A server that takes `latency` for an answer, gives at most `capacity` answers a second, and refuses what
/// is above `limit` in flight.
struct Simulated {
    latency: f64,
    capacity: f64,
    limit: usize,
}

impl Simulated {
    /// Plays for `seconds` and returns the window over time.
    fn play(&self, window: &mut Window, seconds: f64) -> Vec<(f64, usize)> {
        let (mut time, mut course) = (0.0, Vec::new());
        while time < seconds {
            let size = window.size();
            let taken = size.min(self.limit) as f64;
            let rate = (taken / self.latency).min(self.capacity);
            let round_trip = taken / rate;
            let mut elapsed = window.interval().as_secs_f64();
            let sample = |elapsed: f64| Sample {
                elapsed: Duration::from_secs_f64(elapsed),
                requests: (rate * elapsed) as u64,
                bytes: 0,
                p50: Duration::from_secs_f64(round_trip),
                p99: Duration::from_secs_f64(round_trip * 1.5),
                refused: size.saturating_sub(self.limit) as u64,
                in_flight: size,
            };
            while !window.is_enough(&sample(elapsed)) {
                elapsed += 0.05;
            }
            time += elapsed;
            window.observe(&sample(elapsed));
            course.push((time, window.size()));
        }
        course
    }
}

const ANY: usize = usize::MAX;
const SMALL: u64 = 4_096;
const PART: u64 = 16 * 1024 * 1024;

#[test]
fn a_far_server_gets_a_large_window_within_a_dozen_round_trips() {
    for latency in [0.001, 0.005, 0.02, 0.1, 0.2] {
        let server = Simulated {
            latency,
            capacity: 1e9,
            limit: ANY,
        };
        let course = server.play(&mut Window::new(ANY, SMALL), 60.0 * latency + 2.0);
        let reached = course.iter().find(|(_, size)| *size == LARGEST_WINDOW);
        let (time, _) = reached.unwrap_or_else(|| panic!("{latency}: {course:?}"));
        assert!(*time <= 20.0 * latency + 0.4, "{latency}: {time} s");
    }
}

#[test]
fn a_server_at_its_limit_is_not_pushed_further() {
    // A MinIO on two cores: 2,500 objects a second, whatever is in flight.
    let server = Simulated {
        latency: 0.004,
        capacity: 2_500.0,
        limit: ANY,
    };
    let course = server.play(&mut Window::new(ANY, SMALL), 60.0);
    let late = course.iter().filter(|(time, _)| *time > 5.0);
    for (time, size) in late {
        assert!(*size <= 2 * FIRST_WINDOW, "{time}: {size}");
    }
}

#[test]
fn a_server_that_refuses_above_a_number_is_kept_below_it() {
    for limit in [1, 5, 20, 50, 100, 300] {
        let server = Simulated {
            latency: 0.02,
            capacity: 1e9,
            limit,
        };
        let mut window = Window::new(ANY, SMALL);
        let course = server.play(&mut window, 60.0);
        let below = course.iter().find(|(_, size)| *size <= limit).expect("settles");
        assert!(below.0 <= 2.0, "{limit}: first below after {} s", below.0);
        let late: Vec<usize> = course
            .iter()
            .filter(|(time, _)| *time > 5.0)
            .map(|(_, size)| *size)
            .collect();
        let above = late.iter().filter(|size| **size > limit).count();
        assert!(
            above * 20 <= late.len(),
            "{limit}: above it {above} of {} times",
            late.len()
        );
        let mean = late.iter().sum::<usize>() as f64 / late.len() as f64;
        assert!(
            mean >= 0.4 * limit as f64,
            "{limit}: {mean} on average is too shy"
        );
    }
}

/// The mean size late in a long run in which `rate` answers come a second, give or take a tenth.
fn mean_with_noise(rate: impl Fn(usize) -> f64) -> usize {
    fastrand::seed(7);
    let mut window = Window::new(ANY, SMALL);
    let mut sizes = Vec::new();
    for _ in 0..1_000 {
        let noise = 0.9 + 0.2 * fastrand::f64();
        window.observe(&Sample {
            elapsed: Duration::from_millis(50),
            requests: (rate(window.size()) * 0.05 * noise) as u64,
            p50: Duration::from_millis(2),
            p99: Duration::from_millis(4),
            in_flight: window.size(),
            ..Sample::default()
        });
        sizes.push(window.size());
    }
    sizes[500..].iter().sum::<usize>() / 500
}

#[test]
fn measurements_that_vary_make_it_neither_grow_nor_shrink_without_end() {
    let mean = mean_with_noise(|_| 20_000.0);
    assert!(mean <= FIRST_WINDOW, "{mean}, where more gives nothing");
    let mean = mean_with_noise(|size| size as f64 / 0.02);
    assert!(mean >= LARGEST_WINDOW / 2, "{mean}, where each one gives more");
}

#[test]
fn after_a_storm_it_recovers() {
    let mut window = Window::new(ANY, SMALL);
    let calm = Simulated {
        latency: 0.02,
        capacity: 20_000.0,
        limit: ANY,
    };
    calm.play(&mut window, 5.0);
    let before = window.size();
    Simulated {
        latency: 0.02,
        capacity: 20_000.0,
        limit: 0,
    }
    .limited_to_one(&mut window);
    assert!(window.size() <= 2, "{}", window.size());
    calm.play(&mut window, 300.0);
    assert!(window.size() * 4 >= before, "{} of {before}", window.size());
}

impl Simulated {
    /// Everything is refused for a while.
    fn limited_to_one(&self, window: &mut Window) {
        for _ in 0..24 {
            let in_flight = window.size();
            window.observe(&Sample {
                elapsed: Duration::from_millis(100),
                refused: 10,
                in_flight,
                ..Sample::default()
            });
        }
    }
}

#[test]
fn answers_that_take_ever_longer_are_a_brake() {
    let mut window = Window::new(ANY, SMALL);
    let sample = |p50: u64, p99: u64| Sample {
        elapsed: Duration::from_millis(100),
        requests: 1_000,
        p50: Duration::from_millis(p50),
        p99: Duration::from_millis(p99),
        ..Sample::default()
    };
    window.observe(&sample(2, 5));
    let before = window.size();
    window.observe(&sample(2, 40));
    assert!(window.size() >= before, "40 ms are nothing");
    let before = window.size();
    window.observe(&sample(2, 90));
    assert!(window.size() < before);
}

/// What a second brought.
fn second(requests: u64, bytes: u64) -> Sample {
    Sample {
        elapsed: Duration::from_secs(1),
        requests,
        bytes,
        ..Sample::default()
    }
}

#[test]
fn parts_begin_with_few_and_are_measured_in_bytes() {
    let mut window = Window::new(ANY, PART);
    assert_eq!(window.size(), FIRST_WINDOW_OF_PARTS);
    window.observe(&second(10, 10 * PART));
    assert_eq!(window.size(), 2 * FIRST_WINDOW_OF_PARTS);
    // As many bytes in fewer requests: no gain, and after a second look one step back.
    window.observe(&second(5, 10 * PART));
    window.observe(&second(5, 10 * PART));
    assert_eq!(window.size(), FIRST_WINDOW_OF_PARTS);
}

#[test]
fn small_files_after_large_ones_get_a_beginning_of_their_own() {
    let mut window = Window::new(ANY, PART);
    window.observe(&second(2, 2 * PART));
    window.observe(&second(2, 2 * PART));
    // Fewer bytes, but that is not what counts now.
    window.observe(&second(500, 500 * SMALL));
    assert_eq!(window.size(), FIRST_WINDOW);
    window.observe(&second(500, 500 * SMALL));
    assert_eq!(window.size(), 2 * FIRST_WINDOW);
    assert_eq!(Window::new(16, SMALL).size(), 16);
    assert_eq!(Window::new(ANY, PART).for_fetches().size(), 2);
    assert_eq!(Window::new(1, PART).for_fetches().size(), 1);
    assert_eq!(
        Window::new(ANY, SMALL).for_fetches().size(),
        64,
        "small objects want more"
    );
}
