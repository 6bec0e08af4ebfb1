package run

// How an attempt ended, for those who tell its story.
const (
	EndSucceeded  = "succeeded"
	EndDegraded   = "degraded"
	EndFailed     = "failed"
	EndTimedOut   = "timed_out"
	EndCancelled  = "cancelled"
	EndForced     = "forced_after_grace" // cancelled, without a word of its worker
	EndHandedOver = "handed_over"        // its worker stopped on purpose
	EndWorkerDied = "worker_died"        // its worker was declared dead, or stopped without handing over
)

// Ended says how an attempt ended; "" while it runs.
func Ended(a *Attempt) string {
	code := codeOf(a.Error)
	switch a.Status {
	case Succeeded:
		return EndSucceeded
	case Degraded:
		return EndDegraded
	case Failed:
		if code == CodeTimeout {
			return EndTimedOut
		}
		return EndFailed
	case Cancelled:
		if code == CodeUnconfirmed {
			return EndForced
		}
		return EndCancelled
	case Lost:
		if code == CodeHandedOver {
			return EndHandedOver
		}
		return EndWorkerDied
	default:
		return ""
	}
}
