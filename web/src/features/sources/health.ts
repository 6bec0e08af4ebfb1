// What the health of retrieval means for somebody. Pure.

import type { RetrievalHealth } from "../../api/aliases";

export interface Trouble {
  bad: boolean;
  title: string;
  text: string;
  /** It is set under Settings. */
  settings: boolean;
}

const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`);

/** What is to be said above the sources; null when all is well, or when nothing is there yet. */
export function troubleOf(h: RetrievalHealth): Trouble | null {
  if (!h.store.ok)
    return {
      bad: true,
      title: "The store of the indexes does not answer as it should.",
      text: sentence(h.store.message || h.reasons.join(" ")),
      settings: false,
    };
  if (h.embedder.configured && !h.embedder.ok)
    return {
      bad: true,
      title: "The embedding model does not answer.",
      text: `${sentence(h.embedder.message || h.embedder.model)} Searches go by words alone meanwhile.`,
      settings: true,
    };
  if (h.status === "configured_unhealthy")
    return {
      bad: true,
      title: "Retrieval is not well.",
      text: h.reasons.map(sentence).join(" "),
      settings: false,
    };
  if (!h.embedder.configured && h.sources > 0)
    return {
      bad: false,
      title: "Searches go by words alone.",
      text: "With an embedding model they also find what is said in other words. Choose one under",
      settings: true,
    };
  return null;
}

/** Why a retrieval node cannot be added or run, or null. */
export function refusalOf(h: RetrievalHealth | undefined): string | null {
  if (!h || h.status === "configured_healthy") return null;
  if (h.status === "unconfigured")
    return h.sources === 0
      ? "There are no sources yet. Add one under Sources."
      : "No source is indexed yet. Index one under Sources.";
  return h.reasons.length > 0 ? h.reasons.map(sentence).join(" ") : "Retrieval is not well. See Sources.";
}
