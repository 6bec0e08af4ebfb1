import { type RefObject, useMemo } from "react";

// While the canvas is panned or zoomed its content is a picture of its own, so that a
// frame moves it instead of drawing every node and edge again. Not always: a zoomed
// picture is blurred until it is drawn anew. Set past React, which has nothing to render.

/** Handlers that mark an element for as long as the canvas moves. */
export const useMoving = (element: RefObject<HTMLElement | null>) =>
  useMemo(
    () => ({
      onMoveStart: () => element.current?.setAttribute("data-moving", ""),
      onMoveEnd: () => element.current?.removeAttribute("data-moving"),
    }),
    [element],
  );
