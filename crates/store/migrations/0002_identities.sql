-- What came of checking the caller's identity: 'verified', 'failed', 'none' or, where nobody looked, ''; and SHAKEN's attestation.
ALTER TABLE call_records ADD COLUMN identity TEXT NOT NULL DEFAULT '';
ALTER TABLE call_records ADD COLUMN attestation TEXT NOT NULL DEFAULT '';
