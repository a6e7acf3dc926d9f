#include "textflag.h"

// func prefetchRead(p *byte)
TEXT ·prefetchRead(SB), NOSPLIT, $0-8
	MOVQ p+0(FP), AX
	PREFETCHT0 (AX)
	PREFETCHT0 64(AX)
	PREFETCHT0 128(AX)
	PREFETCHT0 192(AX)
	PREFETCHT0 256(AX)
	PREFETCHT0 320(AX)
	PREFETCHT0 384(AX)
	PREFETCHT0 448(AX)
	RET

// PREFETCHW, of which the assembler knows nothing, with displacements of 8 and
// 32 bits. Processors without it take it for a NOP.
#define PREFETCHW_AX BYTE $0x0f; BYTE $0x0d; BYTE $0x08
#define PREFETCHW_AX8(d) BYTE $0x0f; BYTE $0x0d; BYTE $0x48; BYTE $d
#define PREFETCHW_AX32(d) BYTE $0x0f; BYTE $0x0d; BYTE $0x88; LONG $d

// func prefetchWrite(p *byte)
TEXT ·prefetchWrite(SB), NOSPLIT, $0-8
	MOVQ p+0(FP), AX
	PREFETCHW_AX
	PREFETCHW_AX8(64)
	PREFETCHW_AX32(128)
	PREFETCHW_AX32(192)
	PREFETCHW_AX32(256)
	PREFETCHW_AX32(320)
	PREFETCHW_AX32(384)
	PREFETCHW_AX32(448)
	RET
