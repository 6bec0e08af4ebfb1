package kubernetes

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/llmctl/studio/internal/executor"
)

// The classes of images.
const (
	ClassFrontier = "frontier" // hosted models and everything that needs none
	ClassVLLM     = "vllm"     // local models
)

// nodeResources are what a node asks for itself.
type nodeResources struct {
	CPU    string `json:"cpu"`
	Memory string `json:"memory"`
	GPU    *int   `json:"gpu"`
}

// wishes are what a node's config says of its pod. They were checked when the graph
// was saved; a config from before that, or one made by hand, is checked here again.
type wishes struct {
	ImageClass string        `json:"image_class"`
	Resources  nodeResources `json:"resources"`
}

func wishesOf(p executor.Payload) (wishes, error) {
	var w wishes
	if len(p.Config) > 0 {
		if err := json.Unmarshal(p.Config, &w); err != nil {
			return w, fmt.Errorf("the members image_class and resources of its configuration cannot be read: %w", err)
		}
	}
	switch w.ImageClass {
	case "":
		w.ImageClass = classOf(p.Model)
	case ClassFrontier, ClassVLLM:
	default:
		return w, fmt.Errorf("image_class is %q; accepted are %s and %s", w.ImageClass, ClassFrontier, ClassVLLM)
	}
	for name, fault := range map[string]string{
		"cpu": optional(w.Resources.CPU, LowCPU, HighCPU), "memory": optional(w.Resources.Memory, LowMemory, HighMemory),
	} {
		if fault != "" {
			return w, fmt.Errorf("resources.%s %s", name, fault)
		}
	}
	if g := w.Resources.GPU; g != nil && (*g < 0 || *g > MaxGPU) {
		return w, fmt.Errorf("resources.gpu is %d; accepted are 0 to %d", *g, MaxGPU)
	}
	return w, nil
}

// Bounds of what a pod may ask for.
const (
	LowCPU     = "1m"
	HighCPU    = "256"
	LowMemory  = "16Mi"
	HighMemory = "4Ti"
	MaxGPU     = 8
)

func optional(text, low, high string) string {
	if text == "" {
		return ""
	}
	return CheckQuantity(text, low, high)
}

// classOf is the image class of a provider: vllm_* are local models.
func classOf(m *executor.Model) string {
	if m != nil && strings.HasPrefix(m.ProviderKind, "vllm") {
		return ClassVLLM
	}
	return ClassFrontier
}
