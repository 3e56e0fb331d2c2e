#include "textflag.h"

// Six bits of each byte of Y, then three of them side by side in each four bytes. Takes Y2.
#define PACK(Y) \
	VPSRLW     $1, Y, Y2   \
	VPAND      Y15, Y, Y   \
	VPAND      Y14, Y2, Y2 \
	VPOR       Y2, Y, Y    \
	VPMADDUBSW Y13, Y, Y   \
	VPMADDWD   Y12, Y, Y

// The bits of the two triples in R, above those of ACC. Takes R and T.
#define LOOK(R, T, ACC) \
	MOVL    R, T              \
	SHRQ    $32, R            \
	MOVBLZX (AX)(R*1), R      \
	LEAL    (R)(ACC*4), ACC   \
	MOVBLZX (AX)(T*1), T      \
	LEAL    (T)(ACC*4), ACC

// func tripleMasks(t *triples, b *byte, blocks int, masks *uint64)
//
// What inGo tells, half a block at a time.
TEXT ·tripleMasks(SB), NOSPLIT, $0-32
	MOVQ t+0(FP), AX
	MOVQ b+8(FP), SI
	MOVQ blocks+16(FP), CX
	MOVQ masks+24(FP), DI
	ADDQ CX, CX
	MOVL $0x001f1f1f, BX
	VMOVQ BX, X15
	VPBROADCASTD X15, Y15
	MOVL $0x00202020, BX
	VMOVQ BX, X14
	VPBROADCASTD X14, Y14
	MOVL $0x4001, BX // bytes 1 and 64
	VMOVQ BX, X13
	VPBROADCASTW X13, Y13
	MOVL $0x10000001, BX // words 1 and 4096
	VMOVQ BX, X12
	VPBROADCASTD X12, Y12

half:
	TESTQ CX, CX
	JZ    done
	VMOVDQU 0(SI), Y0
	VMOVDQU 2(SI), Y1
	PACK(Y0)
	PACK(Y1)
	// Side by side, as they follow each other: those at 0, 2, 4, 6, 16 … and the others.
	VPUNPCKLDQ   Y1, Y0, Y3
	VPUNPCKHDQ   Y1, Y0, Y4
	VEXTRACTI128 $1, Y3, X5
	VEXTRACTI128 $1, Y4, X6
	XORL R10, R10
	XORL R11, R11
	VPEXTRQ $1, X6, R8
	VPEXTRQ $1, X4, R9
	LOOK(R8, R12, R10)
	LOOK(R9, R13, R11)
	VMOVQ X6, R8
	VMOVQ X4, R9
	LOOK(R8, R12, R10)
	LOOK(R9, R13, R11)
	VPEXTRQ $1, X5, R8
	VPEXTRQ $1, X3, R9
	LOOK(R8, R12, R10)
	LOOK(R9, R13, R11)
	VMOVQ X5, R8
	VMOVQ X3, R9
	LOOK(R8, R12, R10)
	LOOK(R9, R13, R11)
	SHLL $16, R10
	ORL  R11, R10
	MOVL R10, (DI)
	ADDQ $32, SI
	ADDQ $4, DI
	DECQ CX
	JMP  half

done:
	VZEROUPPER
	RET

// The bits that the two tables at OFF have for the low and the high half of each byte of
// FROM, whose high half is in HIGH, in both. A byte with its highest bit set has none.
// Takes Y7.
#define HALVES(OFF, FROM, HIGH, TO) \
	VBROADCASTI128 OFF(AX), TO      \
	VPSHUFB        FROM, TO, TO     \
	VBROADCASTI128 (OFF+16)(AX), Y7 \
	VPSHUFB        HIGH, Y7, Y7     \
	VPAND          Y7, TO, TO

// A bit for each byte of FROM that is not zero, at OFF of the masks. Takes FROM and BX.
#define NONZERO(FROM, OFF) \
	VPCMPEQB  Y15, FROM, FROM \
	VPMOVMSKB FROM, BX        \
	NOTL      BX              \
	MOVL      BX, OFF(DI)

// func surveyMasks(halves *surveyHalves, b *byte, blocks int, masks *blockMasks)
//
// Half a block at a time. A byte behind the last block is read.
TEXT ·surveyMasks(SB), NOSPLIT, $0-32
	MOVQ halves+0(FP), AX
	MOVQ b+8(FP), SI
	MOVQ blocks+16(FP), CX
	MOVQ masks+24(FP), DI
	ADDQ CX, CX
	VPXOR Y15, Y15, Y15
	MOVL $0x0f, BX
	VMOVQ BX, X14
	VPBROADCASTB X14, Y14
	MOVL $0x0a, BX
	VMOVQ BX, X13
	VPBROADCASTB X13, Y13
	MOVL $0x1b, BX
	VMOVQ BX, X12
	VPBROADCASTB X12, Y12
	MOVL $0x08, BX
	VMOVQ BX, X11
	VPBROADCASTB X11, Y11
	MOVL $0xef, BX
	VMOVQ BX, X10
	VPBROADCASTB X10, Y10
	MOVL $0xfc, BX
	VMOVQ BX, X9
	VPBROADCASTB X9, Y9
	XORL R9, R9

half:
	TESTQ CX, CX
	JZ    done
	VMOVDQU 0(SI), Y0
	VMOVDQU 1(SI), Y1
	VPSRLW $4, Y0, Y2
	VPAND Y14, Y2, Y2
	VPSRLW $4, Y1, Y3
	VPAND Y14, Y3, Y3
	HALVES(0, Y0, Y2, Y4)
	VPAND Y9, Y4, Y5
	NONZERO(Y4, 56)
	NONZERO(Y5, 8)
	HALVES(32, Y0, Y2, Y4)
	NONZERO(Y4, 48)
	HALVES(64, Y0, Y2, Y4)
	NONZERO(Y4, 64)
	HALVES(96, Y0, Y2, Y4)
	HALVES(128, Y1, Y3, Y5)
	VPAND Y5, Y4, Y4
	NONZERO(Y4, 0)
	VPCMPEQB Y13, Y0, Y4
	VPMOVMSKB Y4, BX
	MOVL BX, 16(DI)
	VPCMPEQB Y15, Y0, Y4
	VPMOVMSKB Y4, BX
	MOVL BX, 32(DI)
	VPCMPEQB Y12, Y0, Y4
	VPCMPEQB Y11, Y0, Y5
	VPOR Y5, Y4, Y4
	XORL R10, R10
	VPMOVMSKB Y0, BX
	MOVL BX, 72(DI)
	TESTL BX, BX
	JNZ  beyond

following:
	MOVL R10, 40(DI)
	VPMOVMSKB Y4, BX
	MOVL BX, 24(DI)
	ADDQ $32, SI
	DECQ CX
	XORL $4, R9
	JZ   whole
	ADDQ $4, DI
	JMP  half

whole:
	ADDQ $76, DI
	JMP  half

beyond: // ASCII
	VPCMPEQB Y10, Y0, Y5
	VPOR Y5, Y4, Y4
	VBROADCASTI128 160(AX), Y5
	VPCMPEQB Y5, Y0, Y5
	VBROADCASTI128 176(AX), Y6
	VPCMPEQB Y6, Y1, Y6
	VPAND Y6, Y5, Y5
	VBROADCASTI128 192(AX), Y6
	VPCMPEQB Y6, Y0, Y6
	VBROADCASTI128 208(AX), Y7
	VPCMPEQB Y7, Y1, Y7
	VPAND Y7, Y6, Y6
	VPOR Y6, Y5, Y5
	VPMOVMSKB Y5, R10
	JMP  following

done:
	VZEROUPPER
	RET
