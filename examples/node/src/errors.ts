/** What can go wrong with stored models, and with a step. Codes of steps are those of ml/errors.py. */

export type ModelErrorCode =
  | "ARTIFACT_MISSING"
  | "INTEGRITY_REFUSED"
  | "ISOLATION_REFUSED"
  | "MODEL_RELEASED" // by its user, who goes on using it
  | "RUNTIME_TOO_OLD";

/** A published model is not there any more, or is refused; nothing of it has been used. */
export class ModelError extends Error {
  override readonly name = "ModelError";

  constructor(
    readonly code: ModelErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Why a step failed, by its exit code: what the caller can do about it depends on this. */
export type FailureKind =
  | "configuration" // 2: the request is wrong
  | "data" // 3: the data cannot be used, or there is too little
  | "environment" // 4: database or disk; worth another try
  | "quality" // 5: the model is not good enough, or not exact
  | "refused" // 6: isolation or integrity
  | "stopped" // 130, 143: by a signal, ours or another
  | "internal"; // 70, or an end that is not as documented

/** A step that did not succeed. */
export class StepError extends Error {
  override readonly name = "StepError";

  constructor(
    readonly kind: FailureKind,
    /** The step's own code, such as CONFIG_INVALID; NOT_STARTED or NO_RESULT if it told none. */
    readonly code: string,
    message: string,
    /** Null if a signal ended the process, or it never began. */
    readonly exitCode: number | null,
    /** Key of the configuration that the failure is about. */
    readonly field?: string,
    /** What to do about it. */
    readonly hint?: string,
  ) {
    super(message);
  }
}

/** The kind of failure that an exit code stands for. */
export function kindOf(exitCode: number | null): FailureKind {
  switch (exitCode) {
    case 2:
      return "configuration";
    case 3:
      return "data";
    case 4:
      return "environment";
    case 5:
      return "quality";
    case 6:
      return "refused";
    case 130:
    case 143:
      return "stopped";
    default:
      return "internal";
  }
}
