#include "textflag.h"

// func adlerBlocks(weights *…, b *byte, n int, sums *adlerSums)
TEXT ·adlerBlocks(SB), NOSPLIT, $0-32
	MOVQ weights+0(FP), AX
	MOVQ b+8(FP), SI
	MOVQ n+16(FP), CX
	MOVQ sums+24(FP), DI
	VMOVDQU 0(AX), Y4
	VMOVDQU 32(AX), Y5
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	VPXOR Y2, Y2, Y2
	VPXOR Y3, Y3, Y3

block:
	VMOVDQU (SI), Y6
	VPADDQ Y1, Y3, Y3
	VPSADBW Y0, Y6, Y7
	VPADDQ Y7, Y1, Y1
	VPMADDUBSW Y4, Y6, Y6
	VPMADDWD Y5, Y6, Y6
	VPADDD Y6, Y2, Y2
	ADDQ $32, SI
	DECQ CX
	JNZ  block
	VMOVDQU Y1, 0(DI)
	VMOVDQU Y2, 32(DI)
	VMOVDQU Y3, 64(DI)
	VZEROUPPER
	RET
