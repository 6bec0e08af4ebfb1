// Highlighting: loaded with the first code block of a known language.

import type { Root } from "hast";
import { common, createLowlight } from "lowlight";

const lowlight = createLowlight(common);

/** The coloured tree of a code, or null for a language that is not known. */
export const highlight = (code: string, language: string): Root | null =>
  lowlight.registered(language) ? lowlight.highlight(language, code) : null;
