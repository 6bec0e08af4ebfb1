package chat

import (
	"context"
	"fmt"
	"math"

	"github.com/llmctl/studio/internal/chat/dbsqlc"
	"github.com/llmctl/studio/internal/llm/tokens"
	"github.com/llmctl/studio/internal/postgres"
)

// estimate is how many tokens a text is about. A ratio that is learned from what the
// provider counts corrects it for each model.
func estimate(text string) int { return tokens.Estimate(text) }

// EstimateQuarters is how many quarters of a token a character is about.
func EstimateQuarters(r rune) int { return tokens.Quarters(r) }

// Estimate is how many tokens a text is about, before a model's own ratio.
func Estimate(text string) int { return estimate(text) }

// perMessage is what a message costs beside its text.
const perMessage = 4

// imageTokens is what providers count for a picture of usual size.
const imageTokens = 1600

// The bounds of a learned ratio: what is beyond is a fault of the provider's count.
const (
	lowestRatio  = 0.25
	highestRatio = 8.0
)

// learnRate is how much of a new measurement goes into the ratio.
const learnRate = 0.3

// ratio loads how many of a model's tokens a token of the estimate is.
func (s *Service) ratio(ctx context.Context, q postgres.Querier, modelID int64) (float64, error) {
	r, err := s.q.GetTokenRatio(ctx, q, modelID)
	if postgres.NotFound(err) {
		return 1, nil
	}
	if err != nil {
		return 1, fmt.Errorf("load token ratio of model %d: %w", modelID, err)
	}
	return r.Ratio, nil
}

// learn is the ratio after a measurement: estimated is the estimate without any
// ratio. An estimate that was too low is corrected at once, since it is what makes a
// provider refuse; one that was too high, little by little.
func learn(ratio float64, estimated int, measured int64) float64 {
	if estimated < 50 || measured <= 0 {
		return ratio // too little to learn from
	}
	seen := min(max(float64(measured)/float64(estimated), lowestRatio), highestRatio)
	if seen > ratio {
		return seen
	}
	return ratio + learnRate*(seen-ratio)
}

// keepRatio stores what was learned, if it is news.
func (s *Service) keepRatio(ctx context.Context, tx *postgres.Tx, modelID int64, before, after float64) error {
	if math.Abs(after-before) < 0.01 {
		return nil
	}
	if err := s.q.SetTokenRatio(ctx, tx, dbsqlc.SetTokenRatioParams{ModelID: modelID, Ratio: after}); err != nil {
		return fmt.Errorf("store token ratio of model %d: %w", modelID, err)
	}
	return nil
}

// scaled is an estimate in the model's tokens.
func scaled(estimate int, ratio float64) int { return int(math.Ceil(float64(estimate) * ratio)) }
