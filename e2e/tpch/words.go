package tpch

import "strings"

// The lists of section 4.2.2.13 of the specification.
const (
	regions = "AFRICA,AMERICA,ASIA,EUROPE,MIDDLE EAST"
	// Each nation is followed by the key of its region.
	nations = "ALGERIA0,ARGENTINA1,BRAZIL1,CANADA1,EGYPT4,ETHIOPIA0,FRANCE3,GERMANY3,INDIA2," +
		"INDONESIA2,IRAN4,IRAQ4,JAPAN2,JORDAN4,KENYA0,MOROCCO0,MOZAMBIQUE0,PERU1,CHINA2," +
		"ROMANIA3,SAUDI ARABIA4,VIETNAM2,RUSSIA3,UNITED KINGDOM3,UNITED STATES1"
	types = "STANDARD,SMALL,MEDIUM,LARGE,ECONOMY,PROMO;ANODIZED,BURNISHED,PLATED,POLISHED," +
		"BRUSHED;TIN,NICKEL,BRASS,STEEL,COPPER"
	containers = "SM,LG,MED,JUMBO,WRAP;CASE,BOX,BAG,JAR,PKG,PACK,CAN,DRUM"
	segments   = "AUTOMOBILE,BUILDING,FURNITURE,MACHINERY,HOUSEHOLD"
	priorities = "1-URGENT,2-HIGH,3-MEDIUM,4-NOT SPECIFIED,5-LOW"
	instructs  = "DELIVER IN PERSON,COLLECT COD,NONE,TAKE BACK RETURN"
	modes      = "REG AIR,AIR,RAIL,SHIP,TRUCK,MAIL,FOB"
	colors     = "almond,antique,aquamarine,azure,beige,bisque,black,blanched,blue,blush,brown," +
		"burlywood,burnished,chartreuse,chiffon,chocolate,coral,cornflower,cornsilk,cream," +
		"cyan,dark,deep,dim,dodger,drab,firebrick,floral,forest,frosted,gainsboro,ghost," +
		"goldenrod,green,grey,honeydew,hot,indian,ivory,khaki,lace,lavender,lawn,lemon,light," +
		"lime,linen,magenta,maroon,medium,metallic,midnight,mint,misty,moccasin,navajo,navy," +
		"olive,orange,orchid,pale,papaya,peach,peru,pink,plum,powder,puff,purple,red,rose," +
		"rosy,royal,saddle,salmon,sandy,seashell,sienna,sky,slate,smoke,snow,spring,steel," +
		"tan,thistle,tomato,turquoise,violet,wheat,white,yellow"
	words = "foxes,ideas,theodolites,pinto beans,instructions,dependencies,excuses,platelets," +
		"asymptotes,courts,dolphins,multipliers,sauternes,warthogs,frets,dinos,attainments," +
		"somas,braids,hockey players,accounts,deposits,packages,requests,sleep,wake,are," +
		"cajole,haggle,nag,use,boost,affix,detect,integrate,furious,sly,careful,blithe,quick," +
		"fluffy,slow,quiet,ruthless,thin,close,dogged,daring,brave,stealthy,permanent," +
		"enticing,idle,busy,regular,final,ironic,even,bold,silent,special,express,pending," +
		"unusual,furiously,carefully,slyly,about,above,according to,among"
)

// lexicon are the lists, split once.
type lexicon struct {
	regions, nations, segments, priorities, instructs, modes, colors, words []string
	types, containers                                                       [][]string
}

func newLexicon() lexicon {
	list := func(text string) []string { return strings.Split(text, ",") }
	lists := func(text string) (out [][]string) {
		for part := range strings.SplitSeq(text, ";") {
			out = append(out, list(part))
		}
		return out
	}
	return lexicon{regions: list(regions), nations: list(nations), segments: list(segments),
		priorities: list(priorities), instructs: list(instructs), modes: list(modes), colors: list(colors),
		words: list(words), types: lists(types), containers: lists(containers)}
}
