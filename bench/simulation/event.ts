/** What happens in a simulated job. */
import type { Delivery } from "./delivery.ts";

/** `life` tells a worker from its predecessors under the same number. */
export type Event =
	| { readonly kind: "ready"; readonly worker: number }
	| { readonly kind: "death"; readonly worker: number }
	| {
			readonly kind: "ask";
			readonly worker: number;
			readonly life: number;
			readonly count: number;
	  }
	| { readonly kind: "dispatched" }
	| { readonly kind: "arrival"; readonly delivery: Delivery }
	| { readonly kind: "stepEnd"; readonly worker: number; readonly life: number }
	| { readonly kind: "answer"; readonly delivery: Delivery }
	| { readonly kind: "ackWaitOver"; readonly delivery: Delivery }
	| { readonly kind: "drop"; readonly delivery: Delivery }
	| { readonly kind: "lookForTail" };
