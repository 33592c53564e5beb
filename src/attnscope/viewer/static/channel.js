// A value that the page shows and that changes: who shows it is drawn anew.

import { useEffect, useState } from "attnscope/preact";

/** Tells, and a hook that listens */
export function channel() {
  /** @type {Set<() => void>} */
  const listeners = new Set();
  return {
    tell() {
      for (const listener of listeners) listener();
    },
    useNews() {
      const [, again] = useState(0);
      useEffect(() => {
        const listener = () => again((count) => count + 1);
        listeners.add(listener);
        return () => {
          listeners.delete(listener);
        };
      }, []);
    },
  };
}
