import { Button } from "@mantine/core";
import { IconArrowDown } from "@tabler/icons-react";
import { type ReactNode, useEffect, useRef, useState } from "react";
import classes from "./panel.module.css";

const nearEnd = 24;

/** Scrolls along while its content grows, until the reader scrolls up. */
export function Follow({ size, live, children }: { size: number; live: boolean; children: ReactNode }) {
  const box = useRef<HTMLDivElement>(null);
  const [following, setFollowing] = useState(live);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the size is what makes it scroll
  useEffect(() => {
    if (following && live && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [size, following, live]);
  return (
    <div className={classes.followFrame}>
      <div
        ref={box}
        className={classes.follow}
        onScroll={(e) => {
          const { scrollHeight, scrollTop, clientHeight } = e.currentTarget;
          setFollowing(scrollHeight - scrollTop - clientHeight < nearEnd);
        }}
      >
        {children}
      </div>
      {live && !following && (
        <Button
          variant="default"
          className={classes.followButton}
          leftSection={<IconArrowDown size={14} />}
          onClick={() => setFollowing(true)}
        >
          Follow
        </Button>
      )}
    </div>
  );
}
