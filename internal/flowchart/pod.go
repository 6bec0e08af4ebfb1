package flowchart

import (
	"encoding/json"
	"math/big"
	"regexp"
	"slices"
)

// Pod is what a node asks of the pod that runs it. Nodes that run elsewhere pass it
// over.
type Pod struct {
	ImageClass string // "": by the node's provider
	CPU        string // "": the default of the settings, like Memory
	Memory     string
	GPU        *int
}

// Bounds of what a node may ask for.
const (
	MaxCPUs   = 256
	MinMemory = 16 << 20
	MaxMemory = 4 << 40
	MaxGPUs   = 8
)

var amountForm = regexp.MustCompile(`^([0-9]{1,18}(?:\.[0-9]{1,9})?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?$`)

// amount reads a number in Kubernetes' notation; nil: it is none.
func amount(text string) *big.Rat {
	parts := amountForm.FindStringSubmatch(text)
	if parts == nil {
		return nil
	}
	v, ok := new(big.Rat).SetString(parts[1])
	if !ok {
		return nil
	}
	unit := map[string]*big.Rat{
		"": big.NewRat(1, 1), "m": big.NewRat(1, 1000), "k": big.NewRat(1e3, 1), "M": big.NewRat(1e6, 1), "G": big.NewRat(1e9, 1), "T": big.NewRat(1e12, 1),
		"Ki": big.NewRat(1<<10, 1), "Mi": big.NewRat(1<<20, 1), "Gi": big.NewRat(1<<30, 1), "Ti": big.NewRat(1<<40, 1),
	}[parts[2]]
	return v.Mul(v, unit)
}

func between(v, low, high *big.Rat) bool {
	return v != nil && v.Cmp(low) >= 0 && v.Cmp(high) <= 0
}

// podFields reads what a node asks of its pod.
func podFields(p *Pod) map[string]field {
	return map[string]field{
		"image_class": {read: func(raw json.RawMessage, at string, f *faults) {
			if value(raw, at, &p.ImageClass, f) && !slices.Contains([]string{"", "frontier", "vllm"}, p.ImageClass) {
				f.add(at, `is %s; accepted are "frontier" and "vllm"`, quote(p.ImageClass))
			}
		}},
		"resources": {read: func(raw json.RawMessage, at string, f *faults) {
			members(raw, at, map[string]field{
				"cpu":    {read: readAmount(&p.CPU, big.NewRat(1, 1000), big.NewRat(MaxCPUs, 1), "CPUs from 1m (a thousandth) to 256, such as 500m or 2")},
				"memory": {read: readAmount(&p.Memory, big.NewRat(MinMemory, 1), big.NewRat(MaxMemory, 1), "memory from 16Mi to 4Ti, such as 512Mi or 2Gi")},
				"gpu": {read: func(raw json.RawMessage, at string, f *faults) {
					var n int
					if !value(raw, at, &n, f) {
						return
					}
					if p.GPU = &n; n < 0 || n > MaxGPUs {
						f.add(at, "is %d; accepted are 0 to %d", n, MaxGPUs)
					}
				}},
			}, f)
		}},
	}
}

func readAmount(to *string, low, high *big.Rat, accepted string) func(raw json.RawMessage, at string, f *faults) {
	return func(raw json.RawMessage, at string, f *faults) {
		if value(raw, at, to, f) && *to != "" && !between(amount(*to), low, high) {
			f.add(at, "is %s; accepted is an amount of %s", quote(*to), accepted)
		}
	}
}
