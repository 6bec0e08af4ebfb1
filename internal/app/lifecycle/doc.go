// Package lifecycle starts services in order and stops them in reverse.
//
// It knows nothing of what the services do. Invariants: a service starts only
// when everything before it is ready; it is told to stop only when everything
// after it has ended or its time is up; whatever fails, all started services are
// stopped; Run returns only when every service has ended or the stop deadline has
// passed, and then it names those that did not.
package lifecycle
