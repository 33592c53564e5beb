// The types of what the vendored file holds: Preact's own, and htm's one function.

import type { VNode } from "preact";

export { Component, createContext, h, render } from "preact";
export { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
export function html(strings: TemplateStringsArray, ...values: unknown[]): VNode;
