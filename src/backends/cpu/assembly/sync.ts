// Where threads meet. A barrier is two i32: how many have arrived, and how often all have.

/** Looks this often before it sleeps: about 20 µs, longer than most ops differ by. */
const SPINS = 20_000;

/** Returns once `count` threads have called it. Sense-reversing: the last one in wakes the others. */
export function barrier(at: usize, count: i32): void {
	if (count === 1) return;
	const phase = atomic.load<i32>(at, 4);
	if (atomic.add<i32>(at, 1) === count - 1) {
		atomic.store<i32>(at, 0);
		atomic.add<i32>(at, 1, 4);
		atomic.notify(at + 4, count);
		return;
	}
	for (let i = 0; i < SPINS; i++) if (atomic.load<i32>(at, 4) !== phase) return;
	while (atomic.load<i32>(at, 4) === phase) atomic.wait<i32>(at + 4, phase, -1);
}
